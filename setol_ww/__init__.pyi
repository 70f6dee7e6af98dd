"""Public names with their types, for type checkers; at run time each is loaded when it is first used."""

from . import monitor as monitor
from .advice.advice import Advice as Advice
from .advice.comparing import compare as compare
from .advice.comparison import Comparison as Comparison
from .advice.recommend import recommend as recommend
from .advice.runs import compare_run as compare_run
from .advice.trap_effect import TrapEffect as TrapEffect
from .advice.trap_effect import trap_effect as trap_effect
from .core.errors import (
    InvalidInput as InvalidInput,
)
from .core.errors import (
    UnreadableCheckpoint as UnreadableCheckpoint,
)
from .core.options import Options as Options
from .core.outcomes import Outcome as Outcome
from .layer.classes import (
    Universality as Universality,
)
from .layer.classes import (
    UniversalityClass as UniversalityClass,
)
from .layer.ecs import Ecs as Ecs
from .layer.quality import (
    Quality as Quality,
)
from .layer.quality import (
    quality as quality,
)
from .layer.result import (
    LayerResult as LayerResult,
)
from .layer.result import (
    Settings as Settings,
)
from .layer.result import (
    analyze_matrix as analyze_matrix,
)
from .layer.verdict import State as State
from .monitor.alarms import Alarm as Alarm
from .monitor.live import Monitor as Monitor
from .results.export import read_table as read_table
from .results.merge import merge_scans as merge_scans
from .results.results import (
    Results as Results,
)
from .results.results import (
    open_results as open_results,
)
from .results.summary import Summary as Summary
from .scanning.run import scan as scan
from .spectrum.bulk import (
    BulkFit as BulkFit,
)
from .spectrum.bulk import (
    fit_bulk as fit_bulk,
)
from .spectrum.erg import (
    ErgCut as ErgCut,
)
from .spectrum.erg import (
    erg_cut as erg_cut,
)
from .spectrum.esd import Spectrum as Spectrum
from .spectrum.tail import (
    TailFit as TailFit,
)
from .spectrum.tail import (
    fit_tail as fit_tail,
)
from .spectrum.windows import (
    SubmatrixFit as SubmatrixFit,
)
from .spectrum.windows import (
    fit_submatrices as fit_submatrices,
)
from .theory import laws as laws
from .theory import transforms as transforms
from .traps.find import (
    TrapReport as TrapReport,
)
from .traps.find import (
    find_traps as find_traps,
)
from .traps.removal import remove_traps as remove_traps
from .truncation.checkpoints import (
    install_factorised as install_factorised,
)
from .truncation.checkpoints import (
    load_factorised as load_factorised,
)
from .truncation.checkpoints import (
    truncate_checkpoint as truncate_checkpoint,
)
from .truncation.curves import truncation_curve as truncation_curve
from .truncation.metrics import (
    classification_metrics as classification_metrics,
)
from .truncation.metrics import (
    perplexity as perplexity,
)
from .truncation.models import (
    LayerCut as LayerCut,
)
from .truncation.models import (
    evaluate_truncation as evaluate_truncation,
)
from .truncation.models import (
    truncate as truncate,
)
from .truncation.models import (
    truncated as truncated,
)
from .views import plots as plots
from .watcher import (
    WeightWatcher as WeightWatcher,
)
from .watcher import (
    analyze as analyze,
)
from .watcher import (
    examine as examine,
)
from .watcher import (
    plug_in as plug_in,
)
from .watcher import (
    plug_out as plug_out,
)
from .watcher import (
    plugged_in as plugged_in,
)

__version__: str
__all__: list[str]
