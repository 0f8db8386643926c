"""Fixtures for tests that train: one thread, a tiny encoder, the real data where it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from tiny import make_encoder, make_tokenizer
from torch import nn
from transformers import PreTrainedTokenizerFast


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return make_tokenizer()


@pytest.fixture
def encoder(tokenizer) -> nn.Module:
    return make_encoder(tokenizer)


@pytest.fixture(scope="session")
def real_data() -> Path:
    default = Path(__file__).resolve().parents[2].parent / "shared" / "real"
    folder = Path(os.environ.get("ALIGNAUDIT_REAL_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"the real data folder {folder} is not there")
    return folder
