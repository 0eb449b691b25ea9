"""AWS on loopback, as far as a sign-in touches it: STS, SSO, container and instance credentials.

The signature check is botocore's. What is not modelled: policies, quotas, and every
operation that a sign-in does not call.
"""
