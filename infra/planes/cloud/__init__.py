"""The look at the cluster plane: Terraform's eyes and our own, side by side; `check.look` is the way in."""
