//! What is rendered: pods, units, kubeconfigs, from minijinja templates. Pure.
