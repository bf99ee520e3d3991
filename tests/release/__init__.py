"""What each operation changes in the release files, and what taking it back leaves: real git, real kustomize."""
