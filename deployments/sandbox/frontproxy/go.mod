module plumbline.example/frontproxy

go 1.26.0
