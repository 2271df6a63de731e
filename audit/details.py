"""What is said of each fault, in Chinese: the sentences are made in English where the fault is."""

import re
from collections.abc import Sequence

DETAILS: Sequence[tuple[str, str]] = (
    ("{} is not there", "{} 不在"),
    ("{} is still there", "{} 仍在"),
    ("{} is not what was archived", "{} 不是当初归档的内容"),
    ("its key does not open it", "其密钥打不开它"),
    ("no history in this file ({})", "文件中没有历史（{}）"),
    (
        "the runs in this file are not whole, one event after another",
        "文件中的运行不完整，事件不是依次相接",
    ),
    ("what stands in it makes no sense ({})", "其中的内容不是有效的历史（{}）"),
    ("a run that was kept does not open: {}", "保留的某次运行打不开：{}"),
    ("the run before the first, {}, is not there", "第一次运行之前的 {} 不在"),
    ("the run after {}, {}, is not there", "运行 {} 之后的 {} 不在"),
    ("the last", "最后一次"),
    ("it does not end", "没有结尾"),
    ("it tells of {}", "它讲的是 {}"),
    ("{}: it says {}, the history {}", "{}：清单为 {}，历史为 {}"),
    ("nothing", "无"),
    ("not an entry of the chain ({})", "不是链上的条目（{}）"),
    ("its content is not what its own hash says", "内容与其自身的哈希不符"),
    ("it belongs at {}", "它应在 {}"),
    ("{} missing before it", "其前缺少 {} 个"),
    ("the first entry names one before it", "第一个条目却指向更早的条目"),
    ("the entry before it cannot be read", "前一个条目无法读取"),
    ("it is not bound to {} as it stands", "它与现有的 {} 对不上"),
    (
        "the archive has no manifest of it; "
        "without the database nobody knows whether it is still open",
        "归档中没有它的清单；没有数据库，无从得知它是否尚未关闭",
    ),
    (
        "the archive has no manifest of it, and the records do not say that it was filed",
        "归档中没有它的清单，业务记录也没有说它已归档",
    ),
    ("the records say that it was filed", "业务记录表明它已归档"),
    ("the records hold another entry in its place", "业务记录中该位置是另一个条目"),
    ("the records know of no such entry", "业务记录中没有这个条目"),
    ("the records do not know the request", "业务记录中没有该请求"),
    ("no rows of the access log in this file", "文件中没有访问日志的记录"),
    ("{} rows were archived, {} are there", "归档了 {} 行，现有 {} 行"),
    ("the month is over, and nobody signed it", "该月已结束，却没有签名"),
    ("head.json cannot be read", "head.json 无法读取"),
    ("signed by a key not known here: {}", "签名公钥不在已知之列：{}"),
    ("the signature is not of this head", "签名与链头不符"),
    ("the chain does not lead to what was signed", "链未通向签名所指之处"),
    ("{} were signed, {} are there", "签名时有 {} 个，现有 {} 个"),
    ("the key {} is not in the ring", "密钥环中没有密钥 {}"),
    ("it was not sealed for {}, or was changed since", "它不是为 {} 加密的，或已被改动"),
    ("it is not a sealed text", "它不是密文"),
    ("it is not a wrapped key", "它不是封装的密钥"),
    ("cannot be judged: {}", "无法判定：{}"),
    ("the history gives rise to no such form", "历史中不会产生这份表单"),
    ("the records do not have it", "业务记录中没有"),
    ("numbered {}, in the history {}", "编号为 {}，历史中为 {}"),
    ("it is a form {}, in the history {}", "表单为 {}，历史中为 {}"),
    ("otherwise in {}", "以下各项不同：{}"),
    ("{}: {} recorded {}, judged {}", "{}：{} 记录为 {}，判定为 {}"),
    ("{} ({}): history {}, build {}", "{}（{}）：历史为 {}，此版本为 {}"),
    ("event {} {}", "事件 {} {}"),
    ("not in the history", "历史中没有"),
    ("another command", "另一条指令"),
    ("the build fails", "此版本出错"),
    ("went on", "继续进行"),
    ("step {}, {}: not in the model", "第 {} 步，{}：模型中没有"),
    ("{}: {}", "{}：{}"),
)
"""A `{}` stands for whatever is named; what is named may be a sentence of this table again."""

_READ = [
    (re.compile("(.+?)".join(map(re.escape, english.split("{}"))), re.DOTALL), chinese)
    # The most definite first: what names least.
    for english, chinese in sorted(DETAILS, key=lambda each: -len(each[0].replace("{}", "")))
]


def in_chinese(detail: str) -> str:
    """The same in Chinese; what is not in the table stays as it is."""
    for english, chinese in _READ:
        if found := english.fullmatch(detail):
            return chinese.format(*map(in_chinese, found.groups()))
    return detail
