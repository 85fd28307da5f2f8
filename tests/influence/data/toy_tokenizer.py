"""A tokenizer small enough to know which names match it by their spelling."""

from itertools import product

LETTERS = "abcdefghijklmnopqrstuvwxyz"
CONSONANTS = sorted(set(LETTERS) - set("aeiou"))


class ToyTokenizer:
    """Takes the longest piece of its vocabulary at each position.

    Its pieces are letters; consonant-vowel-consonant syllables that do not begin with z; their rests without the
    first letter; that first letter after a space, or with `lone_space` a space alone; and the plurals of syllables
    in k. So `zup` is `z|up`, ` dek` is ` d|ek` (or ` |dek`), and `deks` is one piece where `dek` was another.
    """

    def __init__(self, *, lone_space: bool = False) -> None:
        syllables = ["".join(letters) for letters in product(CONSONANTS, "aeiou", CONSONANTS)]
        pieces = [*LETTERS, " "]
        pieces += [syllable for syllable in syllables if syllable[0] != "z"]
        pieces += sorted({syllable[1:] for syllable in syllables})
        pieces += [f"{syllable}s" for syllable in syllables if syllable[2] == "k"]
        pieces += [] if lone_space else [f" {letter}" for letter in LETTERS]
        self.ids = {piece: id for id, piece in enumerate(pieces)}

    def __call__(self, text: str) -> list[int]:
        ids = []
        while text:
            length = next(length for length in range(4, 0, -1) if text[:length] in self.ids)
            ids.append(self.ids[text[:length]])
            text = text[length:]
        return ids
