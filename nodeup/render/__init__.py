"""From decided values to the text of configuration files; pure, one file a format."""
