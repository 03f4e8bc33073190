"""How many elements the encodings of values take, on buses, in columns and in hashed items."""

#: Limbs of 16 bits: of a 256-bit word, an address, a 64-bit integer and a nonce.
WORD = 16
ADDRESS = 10
U64 = 4
NONCE = 4

#: Field elements of a digest.
DIGEST = 8

#: Bytes of a word.
WORD_BYTES = 2 * WORD
