"""What a machine can ask its cloud: metadata, volumes, discovery."""
