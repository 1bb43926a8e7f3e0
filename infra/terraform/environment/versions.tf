terraform {
  required_version = ">= 1.9.0, < 2.0.0"

  required_providers {
    openstack = {
      source  = "terraform-provider-openstack/openstack"
      version = "~> 3.0"
    }
  }
}

# Only the name of a cloud travels; clouds.yaml (OS_CLIENT_CONFIG_FILE) holds the credentials.
provider "openstack" {
  cloud = var.cloud
}
