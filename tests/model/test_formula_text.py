"""The text of a formula: read as formulaic reads it, or refused in one short line."""

import ast
import subprocess
import sys
import time

import pytest
from formulaic.parser.algos.tokenize import tokenize as formulaic_tokenize
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_crlm.model.allowed_formulas import ALLOWED_FUNCTIONS
from bayes_crlm.model.formula import (
    check_formula,
)
from bayes_crlm.words.errors import FormulaError

ATTACKS = [
    "__import__('os').system('x')",
    "I(__import__('os'))",
    'I(__import__("os").system("x"))',
    "open('x')",
    "I(open('x'))",
    "I(open)(age)",
    "I(age)(age)",
    "log(age)(age)",
    "exec('1')",
    "eval('1')",
    "().__class__",
    "age.__class__",
    "I(age.__class__)",
    "I(().__class__.__bases__[0].__subclasses__())",
    "age.to_csv('x')",
    "I(age.values)",
    "age[0]",
    "I(age[0])",
    "log(age, out=age)",
    "log(age, where=age)",
    "np.log(age)",
    "I(np.log(age))",
    "Q('age')",
    "hashed(age, levels=3)",
    "lag(age)",
    "contr.treatment(age)",
    "C(age, contr.treatment)",
    "C(age, Treatment('a'))",
    "C(age, contrasts=open)",
    "C(age, levels=open('x'))",
    "{age}",
    "{__import__('os')}",
    "I({age})",
    "I({age: 1})",
    "lambda: 0",
    "I(lambda: 0)",
    "I((lambda: 0)())",
    "f'{age}'",
    "I(f'{age}')",
    "I('a')",
    "'age'",
    '"age"',
    "I([age for age in age])",
    "I(*age)",
    "I(**age)",
    "I(age := 1)",
    "I(await age)",
    "I(yield)",
    "I(age if age else age)",
    "I(age and age)",
    "I(not age)",
    "I(age > 1)",
    "I(age @ age)",
    "I(age % 2)",
    "I(age // 2)",
    "I(~age)",
    "I(age | age)",
    "I(9**9**9)",
    "I((9**5)**5)",
    "I(age**9**9)",
    "I(age**999)",
    "I(age**age)",
    "I(age**-1)",
    "I(age**0.5)",
    "I(1e999 * age)",
    "I(" + "9" * 400 + " * age)",
    "I(0x10 * age)",
    "I(1_000 * age)",
    "I(1j * age)",
    "I(007 * age)",
    "I(age, 1)",
    "I()",
    "I(1)",
    "log(2)",
    "I(`lambda` : 5)",
    "I(`lambda`)",
    "I(`it's` + `'`)",
    "I(``)",
    "``",
    "`a\\`",
    "`__class__`",
    "__FORMULAIC_STATE__",
    "I(__FORMULAIC_CONTEXT__)",
    "`open`(age)",
    "I(`open`(age))",
    "C(age, levels=['a)', 'b'])",
    "C(age, levels=['a)+open(1)', 'b'])",
    "C(age, levels=['`', '`'])",
    "C(age, levels=['\\'])",
    "C(age, levels=[['a']])",
    "C(age, levels=[])",
    "C(age, levels=['{open}'])",
    "C(I(age))",
    "I(C(age))",
    "log(bs(age, df=4))",
    "bs(age, df=1000000000)",
    "bs(age, df=open)",
    "bs(age, knots=age)",
    "bs(age, 4, 4)",
    "bs(age, df=4, df=5)",
    "cr(age, df=4, constraints='a = b')",
    "poly(age, 99999)",
    "poly(age, _state={})",
    "scale(age, center=age)",
    "ｏｐｅｎ('x')",  # fullwidth letters, which Python reads as open
    "ｌｏｇ(age)",
    "I(ａge)",
    "lоg(age)",  # a Cyrillic o
    "I(`µ`)",
    "age\0",
    "I(age\0)",
    "age;age",
    "age\\",
    "age #",
    "age ~ sex",
    "~ age",
    "age | sex",
    ".",
    "age + .",
    "age ^ 2",
    "age %in% sex",
    "age in sex",
    "in",
    "None",
    "I(True)",
    "I(None)",
    "age\u00a0+ sex",
    "age age",
    "age (sex)",
    "log (age)",
    "(age)(sex)",
    "age +",
    "+ age",
    "-age",
    "age + * sex",
    "(age",
    "age)",
    "`age",
    "log(age",
    "0",
    "0 + age",
    "age - 1",
    "age - (1)",
    "age - (1 + sex)",
    "2:age",
    "(1 + age):sex",
    "1e5",
    "age**0",
    "age**sex",
    "age**(2)",
    "(" * 50 + "age" + ")" * 50,
    "I(" + "(" * 5000 + "age" + ")" * 4000,
    "I(" + "-" * 5000 + "age)",
    "log(" * 1000 + "age" + ")" * 1000,
    "(a + b)**500",
    "(a + b + c + d)**5",
    "a*b*c*d*e*f",
    "a:b:c:d:e:f",
    "a/b/c/d/e/f",
    "((a + b)**3)**3",
    " + ".join(f"x{k}" for k in range(501)),
    "a" * 10_001,
]


ACCEPTED = {
    "": set(),
    " \n ": set(),
    "1": set(),
    "age": {"age"},
    "age + node_positive + log(cea)": {"age", "node_positive", "cea"},
    "age\n  + sex": {"age", "sex"},
    "age*sex + age:sex + sex/age": {"age", "sex"},
    "(age + sex + cea)**2 - age:sex": {"age", "sex", "cea"},
    "`largest (mm)` + log(`CEA (ug/l)`)": {"largest (mm)", "CEA (ug/l)"},
    "`in` + `Crohn's` + `µg`": {"in", "Crohn's", "µg"},
    "C(stage)": {"stage"},
    "C(rx, levels=['Obs', 'Lev+5FU', \"Lev\"])": {"rx"},
    "C(stage, levels=[2, 1, 3.5, -1, True])": {"stage"},
    "I((age - 60)**2 / 10 + log(cea + 1))": {"age", "cea"},
    "scale(log(cea), center=False) + center(age)": {"age", "cea"},
    "bs(age, df=4, degree=3, lower_bound=-1, upper_bound=99.5)": {"age"},
    "bs(age, 5) + cr(log(cea), knots=[1, 2.5])": {"age", "cea"},
    "poly(age, 2) + poly(cea, degree=2, raw=True)": {"age", "cea"},
    "sqrt(nodes) + exp(-x)": {"nodes", "x"},
    "âge + größe": {"âge", "größe"},
    " + ".join(f"x{k}" for k in range(500)): {f"x{k}" for k in range(500)},
}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda text: text[:40])
def test_whatever_is_no_plain_formula_is_refused_in_one_short_line(attack):
    started = time.process_time()
    with pytest.raises(FormulaError) as refused:
        check_formula(attack)
    assert time.process_time() - started < 1
    message = str(refused.value)
    assert message.isprintable()
    assert len(message) < 400


@pytest.mark.parametrize("formula", ACCEPTED, ids=lambda text: text[:40])
def test_an_ordinary_formula_names_its_columns(formula):
    assert check_formula(formula) == ACCEPTED[formula]


def test_the_message_names_the_function_and_the_allowed_ones():
    with pytest.raises(FormulaError) as refused:
        check_formula("age + __import__('os').system('x')")
    assert "'__import__'" in str(refused.value)
    assert "character 7" in str(refused.value)
    for name in ALLOWED_FUNCTIONS:
        assert name in str(refused.value)


@pytest.mark.parametrize("value", [None, 3, True, ["age"], b"age"])
def test_a_formula_that_is_no_text_is_refused(value):
    with pytest.raises(FormulaError, match="not text"):
        check_formula(value)


PIECES = [
    *ALLOWED_FUNCTIONS,
    *"+-*/:()[]{}`'\"=,.|~^%\\ \n@;#<>!&",
    *("age", "sex", "`a b`", "1", "2", "0", "1e3", "**", "df=", "levels=", "True", "in", "lambda"),
    *("open", "__class__", "é", "µ", "ｏ", "\0", "(age)", "log(age)", "C(sex)", "'x'"),
]


formula_like = st.one_of(st.lists(st.sampled_from(PIECES), max_size=25).map("".join), st.text())


columns = st.sampled_from(["age", "sex", "cea", "`a b`", "`in`", "`Crohn's`"])


plain_columns = st.sampled_from(["age", "cea", "`a b`", "`CEA (ug/l)`"])


arithmetic = st.recursive(
    plain_columns,
    lambda inner: st.one_of(
        st.builds("{}({})".format, st.sampled_from(["log", "exp", "I", "center"]), inner),
        st.builds("({} {} {})".format, inner, st.sampled_from("+-*/"), inner),
        st.builds("({} {} 2.5)".format, inner, st.sampled_from("+-*/")),
        inner.map("({})**2".format),
        inner.map("-{}".format),
    ),
    max_leaves=5,
)


calls = st.one_of(
    st.builds("{}({})".format, st.sampled_from(["log", "sqrt", "I", "scale"]), arithmetic),
    arithmetic.map("bs({}, df=4)".format),
    arithmetic.map("poly({}, 2)".format),
    columns.filter(lambda name: name not in ("`in`", "`Crohn's`")).map(
        "C({}, levels=['a b', \"c+d\", 3])".format
    ),
)


formulas = st.recursive(
    columns | calls,
    lambda inner: st.one_of(
        st.builds("{} {} {}".format, inner, st.sampled_from(["+", "-", "*", ":"]), inner),
        inner.map("({})".format),
        st.builds("({} + {})**2".format, columns, columns),
    ),
    max_leaves=6,
)


@settings(max_examples=500, deadline=None)
@given(formula_like)
def test_any_text_is_either_read_or_refused(text):
    try:
        read = check_formula(text)
    except FormulaError as refused:
        assert str(refused).isprintable()
    else:
        assert_formulaic_reads_it_as_we_do(text, read)


@settings(max_examples=300, deadline=None)
@given(formulas)
def test_formulaic_reads_accepted_formulas_as_we_do(text):
    try:
        read = check_formula(text)
    except FormulaError as refused:
        assert "product of" in str(refused) or "terms" in str(refused)
    else:
        assert_formulaic_reads_it_as_we_do(text, read)


HARMLESS = (
    ast.Expression,
    ast.Call,
    ast.Name,
    ast.Load,
    ast.Constant,
    ast.keyword,
    ast.List,
    ast.BinOp,
    ast.UnaryOp,
    ast.USub,
    ast.Add,
    ast.Sub,
    ast.Mult,
    ast.Div,
    ast.Pow,
)


def assert_formulaic_reads_it_as_we_do(text, columns):
    """All that formulaic would evaluate as Python is a call of a listed function on columns."""
    seen = set()
    for token in formulaic_tokenize(text):
        if token.kind.value == "name":
            assert token.token in columns
            seen.add(token.token)
        if token.kind.value != "python":
            continue
        source = token.token
        quoted = {name for name in columns if f"`{name}`" in source}
        for name in quoted:
            source = source.replace(f"`{name}`", f" column_{abs(hash(name))} ")
        tree = ast.parse(source, mode="eval")
        called = {node.func for node in ast.walk(tree) if isinstance(node, ast.Call)}
        assert isinstance(tree.body, ast.Call)
        for node in ast.walk(tree):
            assert isinstance(node, HARMLESS)
        for function in called:
            assert isinstance(function, ast.Name)
            assert function.id in ALLOWED_FUNCTIONS
        names = {
            node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and node not in called
        }
        plain = names - {f"column_{abs(hash(name))}" for name in quoted}
        assert plain <= columns
        seen |= plain | quoted
    assert seen == columns


def test_checking_a_formula_imports_neither_formulaic_nor_pandas():
    code = (
        "import sys, bayes_crlm.model.formula as f; f.check_formula('age + log(cea)'); "
        "print([m for m in ('formulaic', 'pandas', 'numpy', 'pymc') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
