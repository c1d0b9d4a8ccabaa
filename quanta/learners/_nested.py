"""What learners made of other learners share."""

from quanta._errors import InputError
from quanta.learners.independent import AbstractIndependent


def check_independent(name: str, part: object) -> None:
    """Refuse what is no learner of independent subtasks, or does not count examples.

    Raises
    ------
    InputError
        If it is not, naming the field.
    """
    if not isinstance(part, AbstractIndependent):
        raise InputError(
            f"{name} is {part!r}; expected a learner of independent subtasks, such as Threshold(): "
            "in others no subtask can be learned by itself."
        )
    if part.clock != "examples":
        raise InputError(
            f"{name} is {part!r}, which counts {part.clock}; expected a learner that counts examples, such as "
            "Threshold(): within another learner there is one clock for all."
        )
    if getattr(part, "noise", 0):
        raise InputError(f"{name} is {part!r}, with noise; expected none: within another learner, only hits are drawn.")
