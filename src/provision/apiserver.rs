//! The kube-apiserver static pod manifest, read and edited as text. Pure.
