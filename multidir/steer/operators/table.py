"""Every operator by name. A new one is a file beside this one, a line here and one in `records.intervention`."""

from __future__ import annotations

from multidir.records.intervention import OperatorName
from multidir.steer.operators.add import Add
from multidir.steer.operators.amplify import Amplify
from multidir.steer.operators.base import Operator
from multidir.steer.operators.clamp import Clamp
from multidir.steer.operators.erase import Erase
from multidir.steer.operators.noise import AddNoise
from multidir.steer.operators.replace import Replace

OPERATORS: dict[OperatorName, type[Operator]] = {
    "add": Add,
    "replace": Replace,
    "erase": Erase,
    "clamp": Clamp,
    "amplify": Amplify,
    "noise": AddNoise,
}
