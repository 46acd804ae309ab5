"""One module for each verb; it has `configure(parser)` and `run(arguments) -> ExitCode`. Nothing here is imported by another verb."""
