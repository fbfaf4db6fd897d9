"""Offline judgement: cases and the parts of one scheme's evidence, told in words. Nothing here can mint."""
