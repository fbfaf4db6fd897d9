"""Intel TDX quotes (``tdx``): versions 4 and 5, TD report 1.0 and 1.5, and the CCEL log beside them."""
