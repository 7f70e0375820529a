"""The model hub's errors in our words: it is asked by ranks for weights, and by plans for a config alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from kernelkit.errors import ModelNotFoundError

T = TypeVar("T")


def asked(name: str, expected: str, ask: Callable[[], T]) -> T:
    """What the hub answers to `ask`.

    Args:
        name: of the model.
        expected: what else would have named one, for the error.

    Raises:
        ModelNotFoundError: there is no such model, it is gated, or the hub cannot be reached.
    """
    from huggingface_hub import errors as hub

    try:
        return ask()
    except hub.GatedRepoError as error:
        cure = f"accept its terms on https://huggingface.co/{name}, then log in with `hf auth login`"
        raise ModelNotFoundError(f"the hub's model {name} is gated", cure=cure) from error
    except hub.RepositoryNotFoundError as error:
        got = "no such folder here, and no such public model on the hub"
        cure = "check the spelling; for a private model log in with `hf auth login`"
        raise ModelNotFoundError(
            f"there is no model {name!r}", expected=expected, got=got, cure=cure
        ) from error
    except (hub.LocalEntryNotFoundError, hub.OfflineModeIsEnabled) as error:
        raise _unreached(name, expected) from error
    # The hub's client passes its HTTP library's errors on, whichever library that is: without an answer of
    # the hub's, nobody was reached.
    except (hub.HTTPError, hub.HFValidationError, OSError) as error:  # type: ignore[attr-defined]
        if isinstance(error, hub.HTTPError) and not isinstance(error, hub.HfHubHTTPError):  # type: ignore[attr-defined]
            raise _unreached(name, expected) from error
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelNotFoundError(f"{name} could not be downloaded", got=reason[0]) from error


def _unreached(name: str, expected: str) -> ModelNotFoundError:
    return ModelNotFoundError(
        f"there is no model {name!r}",
        expected=expected,
        got="no such folder here, no copy in the hub's cache, and the hub cannot be reached",
        cure="connect this host to the network, or give the path of a local folder",
    )
