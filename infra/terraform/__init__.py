"""An environment's cluster by Terraform: the module, and the runner around the terraform program."""
