"""F5's NGINX Ingress Controller in small: real TLS by SNI, routes by host and path."""
