"""What runs inside the OpenStack environment: the services, the Magnum driver and the Designate backend.

Modules here import the standard library, OpenStack and each other, nothing else of the project.

Each service's `run` loads its access rules before it serves: oslo.policy does so at its first decision, and not safely
among threads, so that of two first requests at the same moment one finds no rules yet and is refused.
"""
