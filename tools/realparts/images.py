"""x"""
from pathlib import Path
def images() -> Path: raise NotImplementedError
