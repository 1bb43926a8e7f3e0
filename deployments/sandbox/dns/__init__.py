"""The sandbox's DNS: two authoritative servers fed by Designate, and a caching resolver in front of them."""
