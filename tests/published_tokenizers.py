"""Folders with tiny tokenizers of every published kind, as they were published."""

import json

SENTENCES = [
    "Attention is all you need, and the dogs barked at 10 o'clock.",
    "The naïve café costs 10 € a day; the dog sleeps.",
    "A model reads the text in both directions, and it writes one word.",
    "In 2000, the year of the dog, they were reading and writing.",
]
WORDS = (
    "[PAD] [UNK] [CLS] [SEP] [MASK] the dog ##s bark ##ed un ##want ##able , ! cafe "
    "Dog caf ##é 漢 a is . ' need attention reads text"
).split()


def write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def write_words(folder, model_type="bert", words=WORDS, **settings):
    """`vocab.txt`, and what config.json says."""
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    write_json(folder / "config.json", {"model_type": model_type})
    if settings:
        write_json(folder / "tokenizer_config.json", settings)
    return folder


def write_pairs(folder, model_type, special, **settings):
    """`vocab.json` and `merges.txt` of byte pair encoding."""
    import tokenizers

    trained = tokenizers.ByteLevelBPETokenizer()
    trained.train_from_iterator(
        SENTENCES * 3, vocab_size=330, special_tokens=special, show_progress=False
    )
    trained.save_model(str(folder))
    write_json(folder / "config.json", {"model_type": model_type})
    if settings:
        write_json(folder / "tokenizer_config.json", settings)
    return folder


def train_pieces(path, size=90, kind="unigram", **options):
    """A file of SentencePiece."""
    import io

    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 5),
        model_writer=model,
        vocab_size=size,
        model_type=kind,
        hard_vocab_limit=False,
        minloglevel=2,
        num_threads=1,
        **options,
    )
    path.write_bytes(model.getvalue())


ROBERTA_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def write_gpt2(folder):
    return write_pairs(folder, "gpt2", ["<|endoftext|>"])


def write_gpt1(folder):
    import tokenizers

    trained = tokenizers.Tokenizer(
        tokenizers.models.BPE(unk_token="<unk>", end_of_word_suffix="</w>")
    )
    trained.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    trained.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=120,
        special_tokens=["<unk>"],
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    trained.train_from_iterator(SENTENCES * 3, trainer)
    trained.model.save(str(folder))
    write_json(folder / "config.json", {"model_type": "openai-gpt"})
    return folder


def write_roberta(folder):
    return write_pairs(folder, "roberta", ROBERTA_SPECIAL)


def write_deberta(folder):
    special = ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"]
    return write_pairs(folder, "deberta", special)


def write_bert(folder):
    return write_words(folder)


def write_cased_bert(folder):
    return write_words(folder, do_lower_case=False, tokenizer_class="BertTokenizer")


def write_distilbert(folder):
    return write_words(folder, "distilbert", do_lower_case=True, model_max_length=512)


def write_camembert(folder):
    train_pieces(folder / "sentencepiece.bpe.model")
    write_json(folder / "config.json", {"model_type": "camembert"})
    return folder


def write_xlm_roberta(folder):
    train_pieces(folder / "sentencepiece.bpe.model")
    write_json(folder / "config.json", {"model_type": "xlm-roberta"})
    return folder


def write_albert(folder):
    train_pieces(
        folder / "spiece.model",
        pad_id=0,
        unk_id=1,
        bos_id=-1,
        eos_id=-1,
        control_symbols=["[CLS]", "[SEP]", "[MASK]"],
    )
    write_json(folder / "config.json", {"model_type": "albert"})
    return folder


def write_xlnet(folder):
    train_pieces(
        folder / "spiece.model",
        unk_id=0,
        bos_id=1,
        eos_id=2,
        control_symbols=["<cls>", "<sep>", "<pad>", "<mask>", "<eod>"],
        user_defined_symbols=["<eop>", ".", "(", ")"],
    )
    write_json(folder / "config.json", {"model_type": "xlnet"})
    return folder


def write_deberta_v2(folder):
    train_pieces(
        folder / "spm.model",
        pad_id=0,
        bos_id=1,
        eos_id=2,
        unk_id=3,
        pad_piece="[PAD]",
        bos_piece="[CLS]",
        eos_piece="[SEP]",
        unk_piece="[UNK]",
    )
    write_json(folder / "config.json", {"model_type": "deberta-v2"})
    return folder


def write_marian(folder):
    import sentencepiece

    pieces = {}
    for side in ("source", "target"):
        path = folder / f"{side}.spm"
        train_pieces(path, size=80 + 5 * (side == "target"))
        model = sentencepiece.SentencePieceProcessor(model_file=str(path))
        pieces.update(
            {model.id_to_piece(i): None for i in range(model.get_piece_size())}
        )
    names = [p for p in pieces if p not in ("<unk>", "<s>", "</s>")]
    names = ["</s>", "<unk>", *names, ">>fra<<", "<pad>"]
    write_json(folder / "vocab.json", {name: i for i, name in enumerate(names)})
    write_json(folder / "config.json", {"model_type": "marian"})
    return folder


# What writes a folder, by the name of its kind.
FOLDERS = {
    "bert": write_bert,
    "bert, cased": write_cased_bert,
    "distilbert": write_distilbert,
    "gpt1": write_gpt1,
    "gpt2": write_gpt2,
    "roberta": write_roberta,
    "camembert": write_camembert,
    "xlm-roberta": write_xlm_roberta,
    "albert": write_albert,
    "xlnet": write_xlnet,
    "deberta-v2": write_deberta_v2,
}


def rows(found):
    """The ids of each text without padding, lists."""
    return [
        ids[mask].tolist()
        for ids, mask in zip(found["token_ids"], found["padding_mask"], strict=True)
    ]
