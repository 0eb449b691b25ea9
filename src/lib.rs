//! iamgate: AWS IAM sign-in for self-managed Kubernetes control planes.
