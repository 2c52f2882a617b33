"""What is an expression worth?  Arithmetic as Python writes it, walked node by node and never executed."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable
from typing import cast

from shared.tools.tool import ToolError, tool

Number = int | float

MAX_LENGTH = 500
"""The longest expression, in characters."""

MAX_DEPTH = 150
"""How deep an expression may be nested; a sum of n terms has the depth n."""

MAX_BITS = 2048
"""The largest whole number, in bits: about 616 digits."""

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)(?![\w.])|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<sign>\*\*|//|[-+*/%(),]))",
    re.ASCII,
)


def _power(base: Number, exponent: Number) -> Number:
    least_bits = (base.bit_length() - 1) * exponent if isinstance(base, int) and isinstance(exponent, int) else 0
    if least_bits > MAX_BITS:  # known before the result is made
        raise OverflowError
    result = base**exponent
    if isinstance(result, complex):
        raise ToolError("The result is not a real number.")
    return cast(Number, result)


def _round(number: Number, digits: Number = 0) -> Number:
    if not isinstance(digits, int) or not 0 <= digits <= 15:
        raise ToolError("round takes a whole number of digits from 0 to 15.")
    return round(number, digits) if digits else round(number)


def _factorial(number: Number) -> Number:
    if not isinstance(number, int) or not 0 <= number <= 170:
        raise ToolError("factorial takes a whole number from 0 to 170.")
    return math.factorial(number)


_OPERATORS: dict[type[ast.AST], Callable[..., Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
_FUNCTIONS: dict[str, Callable[..., Number]] = {
    "abs": abs,
    "min": lambda *numbers: min(numbers),
    "max": lambda *numbers: max(numbers),
    "round": _round,
    "floor": math.floor,
    "ceil": math.ceil,
    "trunc": math.trunc,
    "factorial": _factorial,
    "sqrt": math.sqrt,
    "cbrt": math.cbrt,
    "exp": math.exp,
    "log": math.log,
    "log2": math.log2,
    "log10": math.log10,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "asin": math.asin,
    "acos": math.acos,
    "atan": math.atan,
    "atan2": math.atan2,
    "degrees": math.degrees,
    "radians": math.radians,
}
_CONSTANTS: dict[str, Number] = {"pi": math.pi, "e": math.e, "tau": math.tau}


@tool
async def calculator(expression: str) -> str:
    """Evaluates an arithmetic expression and returns its value.

    It knows + - * / // % ** and parentheses, the functions abs, min, max, round, floor, ceil, trunc,
    factorial, sqrt, cbrt, exp, log (natural, or to a base), log2, log10, sin, cos, tan, asin, acos, atan,
    atan2, degrees and radians (angles are in radians), and the constants pi, e and tau.

    Args:
        expression: The expression, as in "(3 + 4) * sqrt(2)".
    """
    expression = " ".join(expression.split())
    if len(expression) > MAX_LENGTH:
        raise ToolError(f"The expression is longer than {MAX_LENGTH} characters. Calculate it in parts.")
    _check_tokens(expression)
    try:
        tree = ast.parse(expression, mode="eval")
        return str(_value(tree.body, 0))
    except SyntaxError:
        raise ToolError("The expression is incomplete, or its parentheses or signs do not match.") from None
    except ZeroDivisionError:
        raise ToolError("The expression divides by zero.") from None
    except OverflowError:
        raise ToolError("A number in the expression becomes too large.") from None
    except ValueError:
        raise ToolError("A function in the expression is not defined for its argument.") from None
    except TypeError:
        raise ToolError("A function in the expression has too few or too many arguments.") from None
    except (RecursionError, MemoryError):
        raise ToolError("The expression is nested too deeply. Calculate it in parts.") from None


def _check_tokens(expression: str) -> None:
    """Lets only numbers, known names and signs through to the parser: no texts, keywords or attributes."""
    position = 0
    while position < len(expression):
        token = _TOKEN.match(expression, position)
        if token is None:
            rest = expression[position:].lstrip()
            hint = " Write powers with **." if rest.startswith("^") else ""
            raise ToolError(f"The expression cannot be read from {rest[:12]!r} on.{hint}")
        name = token["name"]
        if name and name not in _FUNCTIONS and name not in _CONSTANTS:
            known = ", ".join([*_FUNCTIONS, *_CONSTANTS])
            raise ToolError(f"{name[:20]!r} is not known here. Known are: {known}.")
        position = token.end()


def _value(node: ast.expr, depth: int) -> Number:
    if depth > MAX_DEPTH:
        raise RecursionError
    match node:
        case ast.Constant(value=int() | float() as number):
            return _fits(number)
        case ast.Name(id=name) if name in _CONSTANTS:
            return _CONSTANTS[name]
        case ast.UnaryOp(op=sign, operand=operand) if type(sign) in _OPERATORS:
            return _fits(_OPERATORS[type(sign)](_value(operand, depth + 1)))
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _OPERATORS:
            return _fits(_OPERATORS[type(sign)](_value(left, depth + 1), _value(right, depth + 1)))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
            return _fits(_FUNCTIONS[name](*[_value(argument, depth + 1) for argument in arguments]))
        case _:
            raise SyntaxError


def _fits(number: Number) -> Number:
    """The number, if it is finite and of a size that is cheap to work with."""
    if isinstance(number, int):
        if number.bit_length() > MAX_BITS:
            raise OverflowError
    elif not math.isfinite(number):
        raise OverflowError
    return number
