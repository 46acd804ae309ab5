"""What network plugins need on the machine; the plugins themselves are addons, and come through the API."""
