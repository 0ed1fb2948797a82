"""What runs inside the endpoint's own environment: ministack, with the differences from AWS that matter here mended.

Nothing in here may import the product: its packages are not there.
"""
