"""A second opinion on prices: the pricing semantics `cpq-pricing-1`, from the text of the contract.

It shares no code with the product, holds its own tables, and computes with exact decimals only.
Reads JSON lines: {"catalogRef", "tenant", "customers", "catalog"} makes a catalog known, in the form
of `cpq import`; {"id", "catalogRef", ...} asks for a price and is answered by one line, {"id", "price"}
or {"id", "faults"}: everything that the contract lets a price be refused for.
"""

import functools
import json
import re
import sys
from datetime import datetime
from decimal import ROUND_HALF_UP, Context, Decimal, Inexact, InvalidOperation, setcontext

# Every result is exact: an operation that would have to round within so many digits is an error.
DIGITS = 100
setcontext(Context(prec=DIGITS, traps=[Inexact, InvalidOperation]))
# The contract's one rounding: half up, away from zero.
HALF_UP = Context(prec=DIGITS, rounding=ROUND_HALF_UP, traps=[InvalidOperation])

PERCENT = Decimal("0.01")
HUNDRED = Decimal(100)
# numeric(19,6) has 13 digits before the point.
TOO_LARGE = Decimal(10) ** 13
PERCENT_DECIMALS = 2

# ISO 4217: the currencies whose minor unit is not a hundredth.
OTHER_MINOR_UNITS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
MINOR_UNITS = {code: digits for digits, codes in OTHER_MINOR_UNITS.items() for code in codes.split()}

CHARGED_KINDS = ("ONE_TIME", "RECURRING")
KINDS = CHARGED_KINDS + ("USAGE",)
CHARGED_ACTIONS = ("ADD", "CHANGE")

NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")


class Fault(Exception):
    """Why there is no price: the error code, and a pointer to what lacks it."""

    def __init__(self, code, pointer=None):
        super().__init__(code, pointer)
        self.shown = {"code": code, "pointer": pointer}


@functools.lru_cache(maxsize=None)
def instant(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def holds_at(entry, moment):
    """Half-open: from <= t < to."""
    begins, ends = entry.get("validFrom"), entry.get("validTo")
    return (begins is None or instant(begins) <= moment) and (ends is None or moment < instant(ends))


def number(value):
    if isinstance(value, bool) or not NUMBER.fullmatch(str(value)):
        return None
    return Decimal(value)


def date(value):
    found = DATE.fullmatch(value) if isinstance(value, str) else None
    return found and tuple(int(part) for part in found.groups())


# How a value is read by its declared type; None: it is not of that type.
READ_AS = {
    "STRING": lambda value: value if isinstance(value, str) else None,
    "INTEGER": number,
    "DECIMAL": number,
    "BOOLEAN": lambda value: value if isinstance(value, bool) else None,
    "DATE": date,
}

OPERATORS = {
    "eq": lambda value, other: value == other,
    "gt": lambda value, other: value > other,
    "gte": lambda value, other: value >= other,
    "lt": lambda value, other: value < other,
    "lte": lambda value, other: value <= other,
}


class Line:
    """A configured line: its offering version, and what conditions are asked about."""

    def __init__(self, index, asked, offering, quote, segment):
        self.pointer = "/lines/%d" % index
        self.number = asked["lineNumber"]
        self.charged = asked["action"] in CHARGED_ACTIONS
        self.quantity = Decimal(asked["quantity"])
        self.offering = offering
        chosen = asked.get("characteristics") or {}
        self.facts = {
            "termMonths": ("INTEGER", quote["termMonths"]),
            "quantity": ("DECIMAL", asked["quantity"]),
            "segment": ("STRING", segment),
        }
        for characteristic in offering.get("characteristics") or []:
            name = characteristic["name"]
            value = chosen[name] if name in chosen else characteristic.get("default")
            self.facts[name] = (characteristic["type"], value)

    def meets(self, when):
        return all(self._meets(name, wanted) for name, wanted in (when or {}).items())

    def _meets(self, name, wanted):
        declared, value = self.facts.get(name, (None, None))
        if value is None:
            return False
        read = READ_AS[declared]
        value = read(value)
        for operator, other in (wanted if isinstance(wanted, dict) else {"eq": wanted}).items():
            others = [read(one) for one in (other if operator == "in" else [other])]
            compare = OPERATORS["eq" if operator == "in" else operator]
            if not any(one is not None and compare(value, one) for one in others):
                return False
        return True


def reached_tier(price, quantity):
    return next(tier for tier in price["tiers"] if tier["upTo"] is None or quantity <= Decimal(tier["upTo"]))


def list_amount(price, quantity):
    """Step 2."""
    model = price["model"]
    if model == "FLAT":
        return Decimal(price["amount"])
    if model == "PER_UNIT":
        return Decimal(price["amount"]) * quantity
    if model == "VOLUME":
        return Decimal(reached_tier(price, quantity)["amount"]) * quantity
    assert model == "TIERED", model
    amount, counted = Decimal(0), Decimal(0)
    for tier in price["tiers"]:
        end = quantity if tier["upTo"] is None else min(quantity, Decimal(tier["upTo"]))
        if end > counted:
            amount += (end - counted) * Decimal(tier["amount"])
            counted = end
    return amount


def usage_rate(price, quantity):
    """What a unit costs: quoted as it stands in the catalog."""
    if price["model"] in ("FLAT", "PER_UNIT"):
        return Decimal(price["amount"])
    return Decimal(reached_tier(price, quantity)["amount"])


def adjusted(amount, adjustment, quantity):
    """One adjustment of step 3."""
    kind, value = adjustment["kind"], Decimal(adjustment["value"])
    if kind == "PERCENT":
        return amount * (1 + value * PERCENT)
    if kind == "AMOUNT_PER_UNIT":
        return amount + value * quantity
    assert kind == "OVERRIDE_UNIT", kind
    return value * quantity


def rounded(amount, decimals):
    return amount.quantize(Decimal(1).scaleb(-decimals), context=HALF_UP)


def in_percent(part, whole):
    """part / whole × 100, half up, by whole numbers: a quotient need not end."""
    hundredths = (abs(part) * 2 * 10**4 + abs(whole)) // (abs(whole) * 2)
    return (hundredths if (part < 0) == (whole < 0) else -hundredths).scaleb(-PERCENT_DECIMALS)


def kept(amount, pointer=None):
    """What is kept must fit numeric(19,6)."""
    if abs(amount) >= TOO_LARGE:
        raise Fault("AMOUNT_OUT_OF_RANGE", pointer)
    return amount


class Catalog:
    """A tenant's published catalog, with its customers and tax rates."""

    def __init__(self, known):
        catalog = known["catalog"]
        self.customers = {one["customerAccountId"]: one for one in known["customers"]}
        self.taxes = {(one["taxCategory"], one["jurisdiction"]): one["percent"] for one in known["tenant"]["taxRates"]}
        self.offerings = catalog["offerings"]
        self.adjustments = sorted(catalog.get("adjustments") or [], key=lambda one: (one["priority"], one["id"]))
        self.prices = {}
        for price in catalog.get("prices") or []:
            key = (price["offeringId"], price["priceListId"], price["currency"], price["kind"])
            self.prices.setdefault(key, []).append(price)

    def offering(self, asked, segment, moment):
        """The version that a line names, else the newest that is sold to that segment at that moment."""
        versions = [one for one in self.offerings if one["id"] == asked["productOfferingId"]]
        named = asked.get("productOfferingVersion")
        if named is not None:
            return next(one for one in versions if one["version"] == named)

        def sellable(one):
            ends = one.get("sellableTo")
            seen = not one.get("segments") or segment in one["segments"]
            return seen and instant(one["sellableFrom"]) <= moment and (ends is None or moment < instant(ends))

        return max(filter(sellable, versions), key=lambda one: instant(one["sellableFrom"]))


class Pricing:
    """One quote under one catalog."""

    def __init__(self, catalog, quote):
        self.catalog, self.quote = catalog, quote
        self.currency = quote["currency"]
        self.decimals = MINOR_UNITS.get(self.currency, 2)
        self.moment = instant(quote["pricingDate"])
        customer = catalog.customers[quote["customerAccountId"]]
        self.segment, self.jurisdiction = customer["segment"], customer["jurisdiction"]
        self.chosen_by_id = False
        self.line_discounts = {one["lineNumber"]: one for one in quote.get("lineDiscounts") or []}
        self.overrides = {(one["lineNumber"], one["kind"]): one for one in quote.get("lineOverrides") or []}

    def answer(self):
        """The price, or all its faults."""
        faults = self.form_faults()
        if faults:
            return None, faults
        configured_at = instant(self.quote["configuredAt"])
        entries, priced = [], set()
        for index, asked in enumerate(self.quote["lines"]):
            offering = self.catalog.offering(asked, self.segment, configured_at)
            line = Line(index, asked, offering, self.quote, self.segment)
            prices = [price for price in (self.price_of(line, kind) for kind in KINDS) if price is not None]
            if line.charged and not prices:
                faults.append(Fault("PRICE_NOT_FOUND", line.pointer))
            for price in prices:
                priced.add((line.number, price["kind"]))
                try:
                    entries.append(self.entry(line, price))
                except Fault as fault:
                    faults.append(fault)
        for index, one in enumerate(self.quote.get("lineOverrides") or []):
            if (one["lineNumber"], one["kind"]) not in priced:
                faults.append(Fault("PRICE_NOT_FOUND", "/lineOverrides/%d/kind" % index))
        if faults:
            return None, faults
        try:
            return self.totals(entries), []
        except Fault as fault:
            return None, [fault]

    def form_faults(self):
        """Discounts are percentages from 0 to 100; overrides are not negative and in minor units."""
        discounts = [("/lineDiscounts/%d" % i, one) for i, one in enumerate(self.quote.get("lineDiscounts") or [])]
        if self.quote.get("quoteDiscount"):
            discounts.append(("/quoteDiscount", self.quote["quoteDiscount"]))
        faults = [at + "/percent" for at, one in discounts if not 0 <= Decimal(one["percent"]) <= HUNDRED]
        for index, one in enumerate(self.quote.get("lineOverrides") or []):
            amount = Decimal(one["unitAmount"])
            if amount < 0 or amount != rounded(amount, self.decimals):
                faults.append("/lineOverrides/%d/unitAmount" % index)
        return [Fault("VALIDATION_FAILED", at) for at in faults]

    def price_of(self, line, kind):
        """Step 1: the most specific of the prices that hold."""
        key = (line.offering["id"], self.quote["priceListId"], self.currency, kind)
        holding = [
            price
            for price in self.catalog.prices.get(key, [])
            if price.get("offeringVersion") in (None, line.offering["version"])
            and price.get("segment") in (None, self.segment)
            and holds_at(price, self.moment)
            and line.meets(price.get("when"))
        ]
        if not holding:
            return None

        def specific(price):
            return price.get("segment") is not None, len(price.get("when") or {}), instant(price["validFrom"])

        most = max(specific(price) for price in holding)
        first, *others = sorted((one for one in holding if specific(one) == most), key=lambda one: one["id"])
        # Two are left only if a key of both has conditions that differ and yet overlap: publishing takes that for
        # no tie, and the contract orders by id where it says nothing else.
        self.chosen_by_id |= bool(others)
        return first

    def entry(self, line, price):
        """Steps 2 to 6 for one line and kind."""
        zero = rounded(Decimal(0), self.decimals)
        entry = {"lineNumber": line.number, "kind": price["kind"], "charged": False}
        entry.update(listAmount=zero, netAmount=zero, taxAmount=zero)
        if price["kind"] == "USAGE":
            entry["unitRate"] = usage_rate(price, line.quantity)
            return entry
        if not line.charged:
            return entry

        def running(amount):
            if amount < 0:
                raise Fault("AMOUNT_OUT_OF_RANGE", line.pointer)
            return amount

        amount = running(list_amount(price, line.quantity))
        entry["listAmount"] = kept(rounded(amount, self.decimals), line.pointer)
        override = self.overrides.get((line.number, price["kind"]))
        if override is not None:
            amount = running(Decimal(override["unitAmount"]) * line.quantity)
        else:
            for adjustment in self.catalog.adjustments:
                if self.concerns(adjustment, line, price["kind"]):
                    amount = running(adjusted(amount, adjustment, line.quantity))
        for discount in (self.line_discounts.get(line.number), self.quote.get("quoteDiscount")):
            if discount:
                amount = running(amount * (1 - Decimal(discount["percent"]) * PERCENT))
        entry["netAmount"] = kept(rounded(amount, self.decimals), line.pointer)
        tax_percent = self.catalog.taxes.get((line.offering["taxCategory"], self.jurisdiction))
        if tax_percent is None:
            raise Fault("TAX_RATE_NOT_FOUND", line.pointer)
        tax = rounded(entry["netAmount"] * Decimal(tax_percent) * PERCENT, self.decimals)
        entry["taxAmount"] = kept(tax, line.pointer)
        cost = price.get("unitCost")
        entry.update(charged=True, cost=None if cost is None else Decimal(cost) * line.quantity)
        return entry

    def concerns(self, adjustment, line, kind):
        facts = {
            "offeringId": line.offering["id"],
            "offeringVersion": line.offering["version"],
            "priceKind": kind,
            "priceListId": self.quote["priceListId"],
        }
        return (
            all(facts[key] == wanted for key, wanted in (adjustment.get("appliesTo") or {}).items())
            and (adjustment["kind"] == "PERCENT" or adjustment["currency"] == self.currency)
            and holds_at(adjustment, self.moment)
            and line.meets(adjustment.get("when"))
        )

    def totals(self, entries):
        """Sums of rounded parts."""
        zero = rounded(Decimal(0), self.decimals)

        def of_kind(what, kind):
            return sum((one[what] for one in entries if one["charged"] and one["kind"] == kind), zero)

        def over_term(what):
            return of_kind(what, "ONE_TIME") + of_kind(what, "RECURRING") * self.quote["termMonths"]

        total, listed, tax = (kept(over_term(what)) for what in ("netAmount", "listAmount", "taxAmount"))
        discount = kept(listed - total)
        effective = kept(in_percent(discount, listed)) if listed else rounded(listed, PERCENT_DECIMALS)
        margin = None
        if total and all(one["cost"] is not None for one in entries if one["charged"]):
            margin = kept(in_percent(total - over_term("cost"), total))
        shown = ("lineNumber", "kind", "listAmount", "netAmount", "taxAmount", "unitRate")
        return {
            "currency": self.currency,
            "listAmount": listed,
            "discountAmount": discount,
            "oneTimeAmount": kept(of_kind("netAmount", "ONE_TIME")),
            "recurringMonthlyAmount": kept(of_kind("netAmount", "RECURRING")),
            "totalAmount": total,
            "taxAmount": tax,
            "totalWithTax": kept(total + tax),
            "effectiveDiscountPercent": effective,
            "marginPercent": margin,
            "lines": [{name: one[name] for name in shown if name in one} for one in entries],
        }


def main():
    catalogs = {}
    for text in sys.stdin:
        asked = json.loads(text, parse_float=Decimal)
        if "catalog" in asked:
            catalogs[asked["catalogRef"]] = Catalog(asked)
            continue
        pricing = Pricing(catalogs[asked["catalogRef"]], asked)
        price, faults = pricing.answer()
        answer = {"id": asked.get("id"), "chosenById": pricing.chosen_by_id}
        if faults:
            answer["faults"] = [fault.shown for fault in faults]
        else:
            answer["price"] = price
        # Plain decimals as strings: no exponent, no digit lost, and one zero only.
        print(json.dumps(answer, default=lambda value: format(value + 0, "f")), flush=True)


if __name__ == "__main__":
    main()
