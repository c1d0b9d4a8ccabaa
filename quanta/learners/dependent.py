"""Skills upon skills: a subtask can be learned only when those that it builds on have been."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal, NamedTuple, final

import numpy as np

from quanta._checks import check_whole
from quanta._errors import InputError
from quanta.learners import _graph, _hits
from quanta.learners._graph import GRAPHS, Graph
from quanta.learners._nested import check_independent
from quanta.learners.base import LEARNED, AbstractLearner, Truth, checked, moment, seen_so_far
from quanta.learners.independent import AbstractIndependent
from quanta.learners.multilinear import Multilinear

_LEVELS = (0.9, 0.5, LEARNED, 0.1)  # shares left whose moments a sampled run remembers
_MOST_PARENTS = 100


class Growth(NamedTuple):
    """State of a learner whose subtasks build on others.

    Flat, so that it can be stored as it is: the fields of the clocks, Hits, and what is beyond them.
    """

    frequencies: np.ndarray
    """(n_subtasks,) p_k."""
    examples: np.ndarray
    """() examples seen."""
    hits: np.ndarray
    """(n_subtasks,) of which this subtask: int64 if sampled, p_k · examples (float64) if expected."""
    levels: np.ndarray
    """(4,) int64: counts by which 10, 50, 75 and 90 % of the loss are gone."""
    crossed: np.ndarray
    """(n_subtasks, 4) examples at which ``counted`` reached them; nan before. Sampled only, else (0, 4)."""
    table: np.ndarray
    """What examples are drawn by, as in Hits. Sampled only, else (0, 2)."""
    key: np.ndarray
    """(2,) uint64: with ``examples``, all that decides the next draw. Sampled only, else (0,)."""
    began: np.ndarray
    """(n_subtasks,) examples at which the parents are learned, inf if never. Expected only, else (0,)."""
    counted: np.ndarray
    """(n_subtasks,) int64: hits since the parents were learned. Sampled only, else (0,)."""
    order: np.ndarray
    """See :class:`~quanta.learners._graph.Graph`, as of the next two."""
    first: np.ndarray
    parents: np.ndarray

    @property
    def sampled(self) -> bool:
        """Whether the counts are realised ones."""
        return bool(self.key.size)

    @property
    def clocks(self) -> _hits.Hits:
        """How often each subtask was seen, and no crossings."""
        seen = _hits.Hits(**{name: getattr(self, name) for name in _hits.Hits._fields})
        return seen._replace(levels=self.levels[:0], crossed=self.crossed[:, :0])


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Dependent(AbstractLearner):
    r"""Each subtask is learned as ``skill`` says, by its examples after the last of its parents is learned.

    .. math::
        L_k(t) = L^\text{skill}_k(t - t_k), \qquad
        t_k = \max_{j \in \mathrm{parents}(k)} \big( t_j + \lceil T_j \rceil \big), \qquad
        L^\text{skill}_j(T_j) - L^\text{skill}_j(\infty)
        = \tfrac14 \big( L^\text{skill}_j(0) - L^\text{skill}_j(\infty) \big)

    A subtask is learned when a quarter of its drop is left; without parents it starts at once, and examples of it
    before its start teach nothing. So frequency alone no longer decides when a subtask is learned: it may wait for
    rarer ones. Expected, every subtask follows its mean-field curve from the moment at which its parents' mean-field
    curves have reached a quarter. Sampled, a subtask counts its hits since the very example with which the last
    parent was learned.

    The losses of a sampled run have the exact law of drawing example by example, however far apart checkpoints lie.
    So has the example at which each of its steps is said to be; but of a subtask that starts and falls between the same
    two checkpoints, it is exact only to the fluctuation of that number, the square root of the examples between them.

    References
    ----------
    Michaud, Parker-Sartori, Tegmark (2025), On the creation of narrow AI, section 3: compositional multitask sparse
    parity, where composite skills are learned after their atomic ones. The graph in place of a list: Michaud (2026).

    Examples
    --------
    >>> from quanta.learners import Quantum
    >>> learner = Dependent(skill=Quantum(hits=10), edges=((0, 2), (1, 2)))
    >>> learner.onset(np.array([0.5, 0.1, 0.4])).tolist()  # the third waits for the second: 100 + 25
    [20.0, 100.0, 125.0]
    """

    skill: AbstractIndependent = field(default_factory=Multilinear)
    """Learner of a single subtask, such as "threshold(hits=3)"."""
    graph: Literal["random", "shuffled", "tree", "chain", "edges"] = "random"
    """Parents of k: any before it (shuffled: in a random order), those at half its number, just before, or by edges."""
    n_parents: int = 2
    """Parents of every subtask, drawn with replacement; 0 for none."""
    layout: int = 0
    """Which of the random graphs; --seed draws examples alone."""
    edges: tuple[tuple[int, int], ...] = ()
    """Pairs of parent and child, subtasks numbered from 0, in place of the above: 0 2 1 2 for 0 → 2 and 1 → 2."""

    exchangeable: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_independent("skill", self.skill)
        edges = _graph.checked(self.edges)
        if self.graph not in GRAPHS:
            raise InputError(f"graph is {self.graph!r}; expected one of {', '.join(GRAPHS)}.")
        if self.graph == "edges" and not edges:
            raise InputError("graph is 'edges', but edges are none; expected pairs of parent and child.")
        check_whole("n_parents", self.n_parents, least=0, most=_MOST_PARENTS)
        check_whole("layout", self.layout, least=0, most=2**63)
        object.__setattr__(self, "edges", edges)
        if edges:  # spelt out, so that equal graphs are equal
            for name, value in (("graph", "edges"), ("n_parents", 0), ("layout", 0)):
                object.__setattr__(self, name, value)

    @property
    def units(self) -> str:
        """That of the skill."""
        return self.skill.units

    @property
    def optimizer(self) -> str:
        """That of the skill."""
        return self.skill.optimizer

    @property
    def has_steps(self) -> bool:
        """Whether the skill does; else only what waited for its parents makes steps, see ``truth``."""
        return self.skill.has_steps

    @property
    def dynamics(self) -> tuple[str, ...]:
        """Those of the skill."""
        return self.skill.dynamics

    @property
    def n_classes(self) -> int | None:
        """Of the skill."""
        return self.skill.n_classes

    @property
    def chance_loss(self) -> float:
        """That of the skill."""
        return self.skill.chance_loss

    @property
    def learned_loss(self) -> float:
        """That of the skill."""
        return self.skill.learned_loss

    def check_count(self, n_subtasks: int) -> None:
        """Refuse fewer subtasks than edges name."""
        last = max((max(pair) for pair in self.edges), default=0)
        if last >= n_subtasks:
            raise InputError(f"edges name subtask {last}; expected 0 to {n_subtasks - 1}, of {n_subtasks} subtasks.")

    def build(self, n_subtasks: int) -> Graph:
        """The graph over so many subtasks.

        Raises
        ------
        InputError
            If edges name a subtask that is not among them.
        """
        self.check_count(n_subtasks)
        if self.edges:
            return _graph.read(self.edges, n_subtasks)
        return _graph.build(self.graph, n_subtasks, self.n_parents, self.layout)

    def start(
        self, frequencies: np.ndarray, rng: np.random.Generator, *, dynamics: str = "expected", batch_size: int = 1
    ) -> Growth:
        """State before the first example; see the base."""
        p = checked(self, frequencies, dynamics, batch_size)
        graph = self.build(p.size)
        levels = np.maximum(np.ceil([self.skill.hits_at(left) for left in _LEVELS]), 1).astype(np.int64)
        seen = _hits.start(p, rng, dynamics, levels)
        began, counted = np.empty(0), np.zeros(p.size, dtype=np.int64)
        if not seen.sampled:
            began, counted = self._began(p, graph), np.empty(0, dtype=np.int64)
        return Growth(**seen._asdict(), began=began, counted=counted, **graph._asdict())

    def advance(self, state: Growth, time: int) -> Growth:
        """State after that many examples in all."""
        then = moment(int(state.examples), int(time))
        hits = _hits.advance(state.clocks, int(time)).hits
        if not state.sampled:
            return state._replace(examples=then, hits=hits)
        from quanta.learners import _graph_kernels

        before = int(state.examples)
        rng = np.random.Generator(np.random.Philox(key=state.key, counter=[0, 0, 1, before]))  # not that of the hits
        counted, crossed = state.counted.copy(), state.crossed.copy()
        taught = np.where(self.skill.speed(state.frequencies) > 0, hits - state.hits, 0)
        _graph_kernels.count(
            rng, before, int(then) - before, taught, state.order, state.first, state.parents,
            state.levels, _LEVELS.index(LEARNED), counted, crossed,
        )  # fmt: skip
        return state._replace(examples=then, hits=hits, counted=counted, crossed=crossed)

    def measure(self, state: Growth) -> dict[str, np.ndarray]:
        """The loss of every subtask, (n_subtasks,)."""
        if state.sampled:
            return {"loss": self.skill.loss(state.counted)}
        since = np.maximum(float(state.examples) - state.began, 0)
        return {"loss": self.skill.expected(state.frequencies, since)}

    def truth(self, state: Growth) -> Truth:
        """Onset and width of the steps made so far: all; if the skill alone makes none, of what waited for its parents.

        That is, at least as long as it then took to fall by half: a delayed exponential has a sharpness of 2 or more.
        """
        if state.sampled:
            early, half, learned, late = state.crossed.T
            began = _graph.latest(state.first, state.parents, learned)
            truth, has_steps = Truth(onset=half.copy(), width=np.log(late / early)), self.skill.levels().size > 0
        else:
            began, has_steps = state.began, self.skill.has_steps
            early, half, late = (began + self.skill.crossing(state.frequencies, left) for left in (0.9, 0.5, 0.1))
            truth = seen_so_far(int(state.examples), early, half, late)
        if has_steps:
            return truth
        with np.errstate(invalid="ignore"):
            waited = began >= half - began
        return Truth(*(np.where(waited, values, np.nan) for values in truth))

    def onset(self, frequencies: np.ndarray) -> np.ndarray:
        """Examples at half loss, (n_subtasks,), inf if never: of all at once, since each may wait for others."""
        p = np.asarray(frequencies, dtype=np.float64)
        return self._began(p, self.build(p.size)) + self.skill.onset(p)

    def _began(self, p: np.ndarray, graph: Graph) -> np.ndarray:
        """Examples, whole ones, at which the parents of each subtask are learned in the mean field, (n_subtasks,)."""
        from quanta.learners import _graph_kernels

        return _graph_kernels.begin(*graph, np.ceil(self.skill.crossing(p, LEARNED)))
