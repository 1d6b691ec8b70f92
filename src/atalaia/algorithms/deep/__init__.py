"""Small networks, one a series: PyTorch trains them, ONNX Runtime asks them."""
