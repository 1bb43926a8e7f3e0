"""The sandbox's Terraform provider: upstream's address, schema and behaviour for the resources Plumbline uses.

`mirror.install` writes the filesystem mirror terraform takes it from. Everything else in this package runs inside the
OpenStack environment, started by terraform itself, and is imported only there.
"""
