"""What runs inside the OpenStack environment: the services, the Magnum driver and the Designate backend.

Modules here import the standard library, OpenStack and each other, nothing else of the project.
"""
