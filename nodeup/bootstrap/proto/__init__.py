"""The callback's messages; generated from challenge.proto with grpc_tools.protoc --python_out=. --pyi_out=. from the project's root."""
