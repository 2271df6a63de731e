"""Demonstration master data around Shanghai: invented people, the same ones every time."""

import random
from datetime import date, time, timedelta
from decimal import Decimal
from math import cos, pi, radians, sin

from sqlalchemy import Engine as Database
from sqlmodel import Session, col, select

from domain.intake import Customer as Person
from records.engine import reading, ring_of, writing
from records.geography import Place, distance_km
from records.master_data import (
    Engineer,
    PriceItem,
    Product,
    ProductModel,
    RequiredQualification,
    Station,
)
from records.personal import newcomer, phone_index
from records.statements import insert_new
from records.tables import Customer

CENTRE: Place = (31.23, 121.47)
ENGINEERS = 50
ALWAYS_ON_CALL = 36
CUSTOMERS = 200
_KM_PER_DEGREE = 111.2

REFRIGERATION = "制冷设备操作证"
GAS = "燃气具安装维修证"
ELECTRICIAN = "低压电工作业证"
HEIGHTS = "高处作业证"
NETWORKS = "网络设备调试证"

STATIONS = [
    ("ST-PD", "浦东世纪大道网点", "上海市浦东新区世纪大道1196号", 31.2282, 121.5278),
    ("ST-XH", "徐汇漕溪路网点", "上海市徐汇区漕溪北路595号", 31.1869, 121.4378),
    ("ST-JA", "静安南京西路网点", "上海市静安区南京西路1266号", 31.2290, 121.4486),
    ("ST-YP", "杨浦五角场网点", "上海市杨浦区四平路2500号", 31.2995, 121.5140),
    ("ST-MH", "闵行莘庄网点", "上海市闵行区莘松路58号", 31.1120, 121.3810),
    ("ST-BS", "宝山牡丹江路网点", "上海市宝山区牡丹江路1588号", 31.4030, 121.4890),
]

SHIFTS = [(time(8), time(16)), (time(16), time(0)), (time(0), time(8))]

# model, category, class, warranty in months
MODELS = [
    ("KFR-35GW/ABC123", "air_conditioner", "normal", 36),
    ("KFR-26GW/ABC101", "air_conditioner", "normal", 36),
    ("KFR-50LW/ABC520", "air_conditioner", "normal", 36),
    ("KFR-72LW/ABC728", "air_conditioner", "normal", 36),
    ("GMV-H160WL/A", "air_conditioner", "complex", 36),
    ("MDVH-V140W/N1", "air_conditioner", "complex", 36),
    ("BCD-215TMPF", "refrigerator", "normal", 36),
    ("BCD-328WDPD", "refrigerator", "normal", 36),
    ("BCD-502WKPZM", "refrigerator", "normal", 36),
    ("BCD-650WGHSS", "refrigerator", "complex", 36),
    ("XQG80-B1226", "washing_machine", "normal", 36),
    ("XQG100-14356", "washing_machine", "normal", 36),
    ("XQB75-M1269", "washing_machine", "normal", 36),
    ("HGY100-F6", "washing_machine", "normal", 36),
    ("F6032-JA3", "water_heater", "normal", 24),
    ("JSQ30-16E3", "water_heater", "normal", 24),
    ("KF75/200-E", "water_heater", "complex", 36),
    ("CXW-260-J3", "range_hood", "normal", 24),
    ("CXW-220-EH36", "range_hood", "normal", 24),
    ("CXW-238-C1", "range_hood", "normal", 24),
    ("55U7K", "television", "normal", 12),
    ("65Q10L", "television", "normal", 12),
    ("85U8H", "television", "normal", 12),
    ("AX3000-R1", "router", "normal", 12),
    ("BE7200-R3", "router", "normal", 12),
]

REQUIRED = [
    ("air_conditioner", ("repair", "installation", "maintenance"), REFRIGERATION),
    ("water_heater", ("repair", "installation"), GAS),
]

PRICES = {
    "上门费": 50,
    "远程支持费": 0,
    "空调清洗": 120,
    "空调移机": 260,
    "空调安装": 200,
    "加氟": 180,
    "风扇电容": 50,
    "压缩机电容": 80,
    "室外风机": 320,
    "室内风机": 280,
    "压缩机": 980,
    "变频主板": 460,
    "温度传感器": 45,
    "四通阀": 240,
    "遥控器": 60,
    "冰箱门封条": 90,
    "冰箱温控器": 110,
    "化霜加热管": 130,
    "洗衣机排水泵": 140,
    "洗衣机进水阀": 85,
    "洗衣机皮带": 55,
    "减震器": 120,
    "热水器镁棒": 75,
    "加热管": 150,
    "点火器": 95,
    "漏电保护插头": 65,
    "油烟机清洗": 150,
    "油烟机电机": 310,
    "电视电源板": 260,
    "液晶屏": 1680,
    "路由器电源适配器": 39.5,
}

_SURNAMES = "李王张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗"
_GIVEN = "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超霞平刚玲辉健欣宇晨浩婷"
_ROADS = {
    "浦东新区": ["世纪大道", "张杨路", "锦绣路", "花木路"],
    "徐汇区": ["漕溪北路", "衡山路", "龙华路"],
    "静安区": ["南京西路", "延平路", "胶州路"],
    "杨浦区": ["四平路", "控江路", "国和路"],
    "闵行区": ["莘松路", "七莘路", "沪闵路"],
    "宝山区": ["牡丹江路", "友谊路", "淞宝路"],
    "普陀区": ["曹杨路", "武宁路"],
    "黄浦区": ["西藏南路", "淮海中路"],
}
_TIERS = ["standard"] * 16 + ["vip", "vip", "contract", "contract_8h"]


def is_empty(engine: Database) -> bool:
    """Whether there are no master data yet."""
    with reading(engine) as session:
        return session.exec(select(Engineer.id).limit(1)).first() is None


def seed(engine: Database) -> None:
    """Put the demonstration data in; what is already there stays as it is."""
    chance = random.Random(20240520)  # noqa: S311 - the same people every time
    with writing(engine) as session:
        insert_new(session, *_stations())
        insert_new(session, *_engineers(chance))
        insert_new(session, *_models())
        insert_new(session, *_required())
        insert_new(session, *_prices())
        people = _people(chance)
        insert_new(session, *(newcomer(session, person, person.tier) for person in people))
        insert_new(session, *_products(chance, _ids(session, people)))


def _stations() -> list[Station]:
    return [
        Station(
            id=id_, name=name, address=address, phone="400-820-0000", latitude=lat, longitude=lon
        )
        for id_, name, address, lat, lon in STATIONS
    ]


def _engineers(chance: random.Random) -> list[Engineer]:
    return [_engineer(chance, place) for place in range(ENGINEERS)]


def _engineer(chance: random.Random, place: int) -> Engineer:
    """Every second one may open a cooling circuit, every third one a gas line."""
    lat, lon = _somewhere(chance, within_km=24)
    nearest = min(STATIONS, key=lambda s: distance_km((lat, lon), (s[3], s[4])))
    held = [ELECTRICIAN]
    held += [REFRIGERATION] if place % 2 == 0 else []
    held += [GAS] if place % 3 == 0 else []
    held += [HEIGHTS] if place % 4 == 0 else []
    held += [NETWORKS] if place % 5 == 1 else []
    late = place - ALWAYS_ON_CALL
    start, end = SHIFTS[late // 2 % 3] if late >= 0 else (None, None)
    return Engineer(
        id=f"GY2024{place + 1:03d}",
        name=_name(chance),
        station=nearest[0],
        phone=_phone(chance, "139", place),
        qualifications=held,
        latitude=lat,
        longitude=lon,
        shift_start=start,
        shift_end=end,
    )


def _models() -> list[ProductModel]:
    return [
        ProductModel(model=model, category=category, product_class=class_, warranty_months=months)
        for model, category, class_, months in MODELS
    ]


def _required() -> list[RequiredQualification]:
    return [
        RequiredQualification(category=category, request_type=kind, qualification=qualification)
        for category, kinds, qualification in REQUIRED
        for kind in kinds
    ]


def _prices() -> list[PriceItem]:
    return [PriceItem(item=item, price=Decimal(str(price))) for item, price in PRICES.items()]


def _people(chance: random.Random) -> list[Person]:
    people = []
    for place in range(CUSTOMERS):
        lat, lon = _somewhere(chance, within_km=20)
        district = chance.choice(list(_ROADS))
        road = chance.choice(_ROADS[district])
        building, room = chance.randint(1, 40), chance.randint(1, 18) * 100 + chance.randint(1, 4)
        people.append(
            Person(
                phone=_phone(chance, "138", place),
                name=_name(chance),
                email=f"customer{place + 1}@example.com",
                address=f"上海市{district}{road}{chance.randint(1, 1999)}弄{building}号{room}室",
                latitude=lat,
                longitude=lon,
                tier=chance.choice(_TIERS),
            )
        )
    return people


def _ids(session: Session, people: list[Person]) -> list[int | None]:
    """Their rows, in the order of the phone numbers."""
    ring = ring_of(session)
    by_phone = {person.phone: phone_index(ring, person.phone) for person in people}
    known = select(Customer.phone_index, Customer.id).where(
        col(Customer.phone_index).in_(by_phone.values())
    )
    ids = dict(session.exec(known).all())
    return [ids[by_phone[phone]] for phone in sorted(by_phone)]


def _products(chance: random.Random, ids: list[int | None]) -> list[Product]:
    """One or two products each, sold since 2020: some in warranty, some out of it."""
    products = [
        # The one in the standard's own example (S1 3.2).
        Product(serial="SN20230815001", model=MODELS[0][0], sold_on=date(2023, 8, 15))
    ]
    for customer in ids:
        for _ in range(chance.randint(1, 2)):
            sold_on = date(2020, 1, 1) + timedelta(days=chance.randrange(2490))
            products.append(
                Product(
                    serial=f"SN{sold_on:%Y%m%d}{len(products) + 1:03d}",
                    model=chance.choice(MODELS)[0],
                    sold_on=sold_on,
                    customer_id=customer,
                    regular_channel=chance.random() > 0.05,
                )
            )
    return products


def _somewhere(chance: random.Random, *, within_km: float) -> Place:
    """A place near the centre, the nearer the likelier."""
    away, direction = within_km * chance.random() ** 0.8, 2 * pi * chance.random()
    lat = CENTRE[0] + away * sin(direction) / _KM_PER_DEGREE
    lon = CENTRE[1] + away * cos(direction) / (_KM_PER_DEGREE * cos(radians(CENTRE[0])))
    return round(lat, 5), round(lon, 5)


def _name(chance: random.Random) -> str:
    return chance.choice(_SURNAMES) + "".join(chance.choices(_GIVEN, k=chance.randint(1, 2)))


def _phone(chance: random.Random, prefix: str, place: int) -> str:
    """A number that nobody else here has: the last four digits count."""
    return f"{prefix}{chance.randrange(10_000):04d}{place + 1:04d}"
