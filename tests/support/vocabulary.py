"""The word pieces of the tests' tiny models, numbered here: a trainer of tokenizers builds others in each run."""

import string
from collections import Counter
from collections.abc import Sequence

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from tests.support.builders import learnable


def word_pieces(special: Sequence[str], unknown: str) -> Tokenizer:
    """A tokenizer of the words in ``learnable`` movies and of single characters; ``special`` tokens come first."""
    words = Counter(word for m in learnable(200) for word in f"{m['title']} {m['summary']}".lower().split())
    pieces = [*string.ascii_lowercase, *string.digits, *string.punctuation]
    tokens = [*special, *pieces, *(f"##{piece}" for piece in pieces), *(word for word, _ in words.most_common(200))]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=unknown))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer
