"""Everything signed: claims, tokens, answers, and the keys' states. Pure; private keys come as ``SigningKey``."""
