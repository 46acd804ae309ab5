"""Named blobs behind a URL: state stores, backup stores, control stores."""
