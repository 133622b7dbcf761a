"""Where a Subscriber's key came from and what guards it, judged on what its key store itself says of it.

Each function judges one Key Pair; for which requirement, the files of ``requirements/`` say. A key whose module
attested it is judged by that attestation and the operator's register of modules (``modules.py``) first: what a maker
signed says more than what a key store answers, and nobody's older judgement mends a certificate that was revoked.
"""

from __future__ import annotations

from datetime import UTC

from privyseal.compliance import modules
from privyseal.compliance.held import Held, Review
from privyseal.compliance.modules import Keeper, ModuleJudged
from privyseal.compliance.outcome import Outcome, Verdict, met, not_applicable, not_evidenced, not_met
from privyseal.compliance.requirement import Asked
from privyseal.compliance.subjects import KeyPairRecord
from privyseal.terms.keys import Assurance

MODULE_CERTIFICATE = "hsm-module-certificate"
"""The kind of document that shows the level of a module."""

_LEVELS = frozenset({"CSBR-6.2.7.3-03", "CSBR-6.2.7.3-91", "CSBR-6.2.7.2-90", "HOUSE-6.2.7.2-01"})
"""What a judgement of a module's certificate can be about when it is about the level."""

_NEW_KEY = "have the service generate a new key in its module, and a certificate for that"


def origin(key: KeyPairRecord, asked: Asked) -> Outcome:
    """Judge whether the service generated the key, where it is kept (CSBR 1.3.5)."""
    if key.assurance is not Assurance.SOFTWARE and (said := _attested_origin(key)) is not None:
        return said
    if key.generated_inside is None:
        return not_evidenced("Nothing says whether the key store generated the key.", "have the key store say it")
    if key.generated_inside:
        return met(f"The key store ({key.store or 'of unknown kind'}) says that it generated the key itself.")
    return not_met("The key store does not say that it generated the key: it was brought from elsewhere.", _NEW_KEY)


def _judged(key: KeyPairRecord, asked: Asked, requirements: frozenset[str]) -> Review | None:
    """Return the newest judgement of a valid certificate of the key's module, for one of these requirements."""
    reviews = [
        review
        for each in key.evidence
        if each.kind == MODULE_CERTIFICATE and _current(each, asked)
        for review in each.reviews
        if review.requirement in requirements and review.at <= asked.at
    ]
    return max(reviews, key=lambda one: (one.at, one.verdict), default=None)


def _said(review: Review) -> str:
    why = f": {review.why.rstrip('.')}" if review.why else ""
    return f"{review.who} judged the module's certificate {review.verdict} on {review.at.date()}{why}."


def _current(document: Held, asked: Asked) -> bool:
    return document.valid_on(asked.at.astimezone(UTC).date())


def _attested_origin(key: KeyPairRecord) -> Outcome | None:
    """Return what the module's attestation says of where the key is from; None where it says nothing of that."""
    module = None if key.attested is None else key.attested.module
    if module is None or module.generated_inside is None:
        return None
    if module.generated_inside:
        return met(f"The module attested that it generated the key itself: {module.title}.")
    return not_met(f"The module attested that the key came from elsewhere: {module.title}.", _NEW_KEY)


def _attested_level(key: KeyPairRecord, asked: Asked, level: int | None) -> ModuleJudged | None:
    """Return what the module that attested the key amounts to by the register; None where none attested it."""
    if key.attested is None or key.attested.module is None:
        return None
    return modules.judge_module(
        key.attested.module, key.register, Keeper.SIGNING_SERVICE, asked.at, asked.choices, level
    )


def module_level(key: KeyPairRecord, asked: Asked) -> Outcome:
    """Judge whether a module of the level asked guards the key (CSBR 6.2.7.3)."""
    return _module_level(key, asked, None)


def module_level_two(key: KeyPairRecord, asked: Asked) -> Outcome:
    """Judge whether a module of level 2 guards the key, as was enough until CSC-21."""
    return _module_level(key, asked, 2)


def _module_level(key: KeyPairRecord, asked: Asked, level: int | None) -> Outcome:
    if key.assurance is None:
        return not_evidenced("Nothing says what guards the key.", "have the key store say it")
    if key.assurance is Assurance.SOFTWARE:
        return not_met(
            f"The key is kept in software ({key.store or 'of unknown kind'}), and in no cryptographic module.", _NEW_KEY
        )
    attested = _attested_level(key, asked, level)
    if attested is not None and attested.outcome.verdict is Verdict.NOT_MET:
        return attested.outcome
    review = _judged(key, asked, _LEVELS)
    if review is not None and review.verdict == "not-met":
        return not_met(_said(review), _NEW_KEY)
    if review is not None and review.verdict == "met":
        return met(_said(review))
    if attested is not None:
        return attested.outcome
    if key.assurance is Assurance.CERTIFIED_HARDWARE:
        return met(f"Its key store shows the level of the module: {key.module or key.store}.")
    return not_evidenced(
        f"It is in hardware ({key.module or key.store}), and nothing shows the level of its validation.",
        f"add evidence: {MODULE_CERTIFICATE}, and have a named person judge it",
    )


def module_shown(key: KeyPairRecord, asked: Asked) -> Outcome:
    """Judge whether the level of the module is shown by its certificate (CSBR 6.2.7.3)."""
    if key.assurance is Assurance.SOFTWARE:
        return not_met("There is no module, so no certificate shows its level.", _NEW_KEY)
    attested = _attested_level(key, asked, None)
    if attested is not None and attested.certificate is not None:
        return attested.outcome
    review = _judged(key, asked, frozenset({"CSBR-6.2.7.3-04"}))
    if review is not None and review.verdict != "not-evidenced":
        return met(_said(review)) if review.verdict == "met" else not_met(_said(review), _NEW_KEY)
    held = [each for each in key.evidence if each.kind == MODULE_CERTIFICATE]
    if held and not any(_current(each, asked) for each in held):
        ended = max((each.valid_until for each in held if each.valid_until is not None), default=None)
        return not_evidenced(
            f"The module's certificate that is held was valid until {ended}.", f"add evidence: {MODULE_CERTIFICATE}"
        )
    if held:
        return not_evidenced(
            "A module's certificate is held, and nobody has judged it.", "have a named person judge it"
        )
    return not_evidenced("No certificate of the module is held.", f"add evidence: {MODULE_CERTIFICATE}")


def never_left(key: KeyPairRecord, asked: Asked) -> Outcome:
    """Judge whether the Private Key can have left where it was generated (CSBR 6.1.2, 6.2.6)."""
    if key.assurance is not Assurance.SOFTWARE and key.attested is not None and key.attested.module is not None:
        said = modules.of_key(key.attested.module)
        if said.verdict is not Verdict.NOT_EVIDENCED:
            return said
    if key.never_extractable is None or key.assurance is None:
        return not_evidenced("Nothing says whether the key can be taken out.", "have the key store say it")
    if key.assurance is Assurance.SOFTWARE:
        return not_evidenced(
            "The service hands no key out, but this one is in software, and nothing shows that it was never copied.",
            _NEW_KEY,
        )
    if key.never_extractable:
        return met("The module says that the key was never extractable, and the service has no way to hand one out.")
    return not_met("The module says that the key can be taken out, or could be once.", _NEW_KEY)


def cloud_boundary(key: KeyPairRecord, asked: Asked) -> Outcome:
    """Judge whether a key in a cloud stays in the cloud's HSM (CSBR 6.2.7.3)."""
    if key.cloud is None:
        return not_evidenced("Nothing says where the key is kept.", "have the key store say it")
    if not key.cloud:
        return not_applicable("The key is not in a cloud.")
    if key.assurance is Assurance.SOFTWARE:
        return not_met(f"The cloud ({key.store or 'of unknown kind'}) keeps the key in software, in no HSM.", _NEW_KEY)
    if key.generated_inside and key.never_extractable and key.assurance is Assurance.CERTIFIED_HARDWARE:
        return met("The cloud says that the key was generated in its HSM and never leaves it.")
    attested = _attested_level(key, asked, None)
    if attested is not None and key.generated_inside and key.never_extractable:
        if attested.outcome.verdict is Verdict.MET:
            return met(f"The cloud's HSM attested the key, and its level is shown. {attested.outcome.text}")
        if attested.outcome.verdict is Verdict.NOT_MET:
            return attested.outcome
    return not_evidenced(
        "The cloud does not say all of this: generated in its HSM, never extractable, level of the HSM.",
        "add evidence: key-attestation, cloud-configuration-report",
    )
