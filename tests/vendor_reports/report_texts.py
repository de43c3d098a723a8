"""Short report texts in the layout that the vendors' tools write, with the numbers that a test asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

RULE = "-" * 96


def vivado_head(command: str, version: str = "2023.2", design: str = "net", device: str = "xcku5p-ffvb676-2-e") -> str:
    return (
        f"Copyright 1986-2022 Xilinx, Inc. All Rights Reserved.\n{RULE}\n"
        f"| Tool Version : Vivado v.{version} (lin64) Build 1 Fri Oct 13 20:13:54 MDT 2023\n"
        "| Date         : Fri Jan 24 16:57:57 2025\n"
        "| Host         : machine running 64-bit\n"
        f"| Command      : {command} -file a/long path/{command}.rpt\n"
        f"| Design       : {design}\n"
        f"| Device       : {device}\n"
        "| Speed File   : -2\n"
    )


def drawn(header: Sequence[str], rows: Sequence[Sequence[object]], bar: str = "|", title: str | None = None) -> str:
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[k]) if k < len(row) else 0 for row in cells) for k in range(len(header))]
    rule = "+" + "+".join("-" * (width + 2) for width in widths) + "+\n"
    lines = [bar + bar.join(f" {cell:<{widths[k]}} " for k, cell in enumerate(row)) + bar + "\n" for row in cells]
    head = "" if title is None else "+" + "-" * (len(rule) - 3) + f"+\n{bar} {title:<{len(rule) - 5}} {bar}\n"
    return head + rule + lines[0] + rule + "".join(lines[1:]) + rule


def vivado_utilisation(
    family: str = "CLB",
    *,
    star: str = "",
    lut: object = 15973,
    ff: object = 14846,
    bram: object = 2.5,
    dsp: object = 144,
    carry: object | None = 536,
    state: str = "Routed",
    prohibited: bool = True,
    **head: str,
) -> str:
    columns = ["Site Type", "Used", "Fixed", *(["Prohibited"] if prohibited else []), "Available", "Util%"]

    def row(name: str, used: object, available: object) -> list[object]:
        return [name, used, 0, *([0] if prohibited else []), available, "<0.01"]

    logic = [row(f"{family} LUTs{star}", lut, 216960), row("  LUT as Logic", 12137, 216960)]
    logic += [row(f"{family} Registers", ff, 433920), row("  Register as Flip Flop", 1, 433920)]
    if family == "CLB" and carry is not None:
        logic.append(row("CARRY8", carry, 27120))
    memory = [row("Block RAM Tile", bram, 480), row("  RAMB36/FIFO*", 2, 480), row("  RAMB18", 1, 960)]
    if family == "CLB":
        memory.append(row("URAM", 3, 64))
    text = [
        vivado_head("report_utilization", **head),
        f"| Design State : {state}\n{RULE}\n\nUtilization Design Information\n\nTable of Contents\n-----------------\n",
        f"1. {family} Logic\n\n1. {family} Logic\n------------\n\n",
        drawn(columns, logic),
        "* Warning! The Final LUT count, after physical optimizations, is typically lower.\n\n\n2. BLOCKRAM\n\n",
        drawn(columns, memory),
        "\n3. ARITHMETIC\n-------------\n\n",
        drawn(columns, [row("DSPs", dsp, 1824)]),
    ]
    if family == "Slice" and carry is not None:
        primitives = [["FDRE", 900, "Flop & Latch"], ["CARRY4", carry, "CarryLogic"], ["LUT6", 300, "LUT"]]
        text += ["\n7. Primitives\n-------------\n\n", drawn(["Ref Name", "Used", "Functional Category"], primitives)]
    return "".join(text)


PATH = """\
Slack ({verdict}) :             {slack:.3f}ns  (required time - arrival time)
  Source:                 core/fc1_0_r1_reg[0]/C
                            (rising edge-triggered cell FDRE clocked by {clock}  {{rise@0ns fall@1ns period=2.5ns}})
  Destination:            core/fc1_7_r1_reg[28]/D
                            (rising edge-triggered cell FDRE clocked by {clock}  {{rise@0ns fall@1ns period=2.5ns}})
  Path Group:             {clock}
  Path Type:              Setup (Max at Slow Process Corner)
  Requirement:            2.500ns  ({clock} rise@2.500ns - {clock} rise@0.000ns)
  Data Path Delay:        1.125ns  (logic 0.178ns (15.822%)  route 0.947ns (84.178%))
  Logic Levels:           2  (CARRY8=1 LUT4=1)

    Location             Delay type                Incr(ns)  Path(ns)    Netlist Resource(s)
  -------------------------------------------------------------------    -------------------
                         (clock {clock} rise edge)        0.000     0.000 r
                                                      0.000     0.000 r  {clock} (IN)
                         net (fo=67, unset)           0.037     0.037    core/{clock}
    SLICE_X24Y95         FDRE                                         r  core/fc1_0_r1_reg[0]/C
  -------------------------------------------------------------------    -------------------
    SLICE_X24Y95         FDRE (Prop_DFF_SLICEM_C_Q)
                                                      0.096     0.133 r  core/fc1_0_r1_reg[0]/Q
                         net (fo=39, routed)          0.380     0.513    core/fc1_0_r1[0]
    SLICE_X24Y95         LUT4 (Prop_H5LUT_SLICEM_I1_O)
                                                      0.082     0.595 r  core/fc1_3[2]_i_1/O
                         net (fo=33, routed)          0.480     1.075    core/fc1_3[2]
    SLICE_X24Y96         CARRY8 (Prop_CARRY8_SLICEL_S[1]_CO[7])  0.087     1.162 f  core/fc1_7_carry/CO[7]
    SLICE_X24Y95         FDRE                                         r  core/fc1_7_r1_reg[28]/D
  -------------------------------------------------------------------    -------------------

                         (clock {clock} rise edge)        2.500     2.500 r
                         net (fo=67, unset)           0.026     2.526    core/{clock}
                         clock uncertainty           -0.035     2.491
    SLICE_X24Y95         FDRE (Setup_HFF_SLICEM_C_D)
                                                     -0.044     2.447    core/fc1_7_r1_reg[28]
  -------------------------------------------------------------------
                         required time                          2.447
                         arrival time                          -1.162
  -------------------------------------------------------------------
                         slack                                  {slack:.3f}


"""


PIN_PATH = """\
Slack (VIOLATED) :        -0.147ns  (required time - arrival time)
  Source:                 stb
                            (input port clocked by clk  {rise@0.000ns fall@2.500ns period=5.000ns})
  Destination:            shift_reg[114]/D
                            (rising edge-triggered cell FDRE clocked by clk  {rise@0ns fall@2.5ns period=5ns})
  Path Group:             clk
  Path Type:              Setup (Max at Slow Process Corner)

    Location             Delay type                Incr(ns)  Path(ns)    Netlist Resource(s)
  -------------------------------------------------------------------    -------------------
                         (clock clk rise edge)        0.000     0.000 r
                         input delay                  0.000     0.000
    AB25                 IBUF (Prop_ibuf_I_O)         0.899     0.899 r  stb_IBUF_inst/O
                         net (fo=309, routed)         6.757     7.657    dut/stb_IBUF
    SLICE_X5Y108         FDRE                                         r  shift_reg[114]/D
  -------------------------------------------------------------------    -------------------

                         (clock clk rise edge)        5.000     5.000 r
    W30                  IBUF (Prop_ibuf_I_O)         0.796     5.796 r  clk_IBUF_inst/O
    SLICE_X5Y108         FDRE (Setup_fdre_C_D)       -0.059     8.969    shift_reg[114]
  -------------------------------------------------------------------
                         required time                          8.969
                         arrival time                          -9.117
  -------------------------------------------------------------------
                         slack                                 -0.147

"""


def vivado_timing(clocks: Mapping[str, tuple[float, float | None]], **head: str) -> str:
    """`clocks`: period and worst setup slack by name; None for a clock that no such path has."""
    known = [slack for _, slack in clocks.values() if slack is not None]
    worst = f"{min(known):7.3f}" if known else "     NA"
    columns = (
        "    WNS(ns)      TNS(ns)  TNS Failing Endpoints  TNS Total Endpoints     WPWS(ns)     TPWS(ns)\n"
        "    -------      -------  ---------------------  -------------------     --------     --------\n"
    )
    numbers = f"        0.000                      0                  {'102':>3}        2.225        0.000\n"
    wide = max([5, *map(len, clocks)])
    text = [
        vivado_head("report_timing_summary", **head),
        f"| Temperature Grade : E\n{RULE}\n\nTiming Summary Report\n\n",
        f"{RULE}\n| Timer Settings\n| --------------\n{RULE}\n\n",
        "check_timing report\n\n1. checking no_clock (0)\n------------------------\n\n",
        f"{RULE}\n| Design Timing Summary\n| ---------------------\n{RULE}\n\n{columns}    {worst}{numbers}\n\n",
    ]
    if clocks:
        rows = "".join(
            f"{name:<{wide}}  {f'{{0.000 {period / 2:.3f}}}':<17}  {period:<10.3f}      {1000 / period:<14.3f}\n"
            for name, (period, _) in clocks.items()
        )
        text.append(
            f"{RULE}\n| Clock Summary\n| -------------\n{RULE}\n\n"
            f"{'Clock':<{wide}}  Waveform(ns)       Period(ns)      Frequency(MHz)\n"
            f"{'-----':<{wide}}  ------------       ----------      --------------\n{rows}\n\n"
        )
        rows = "".join(
            f"{name:<{wide}}"
            + ("    " + (f"{slack:7.3f}" if slack is not None else " " * 7))
            + (numbers if slack is not None else " " * 57 + "     2.225        0.000\n")
            for name, (_, slack) in clocks.items()
        )
        text.append(
            f"{RULE}\n| Intra Clock Table\n| -----------------\n{RULE}\n\n"
            f"{'Clock':<{wide}}{columns.splitlines()[0]}\n{'-----':<{wide}}{columns.splitlines()[1]}\n{rows}\n\n"
        )
    else:
        for title in ("Clock Summary", "Intra Clock Table"):
            text.append(f"{RULE}\n| {title}\n| {'-' * len(title)}\n{RULE}\n\n")
    for title in ("Inter Clock Table", "Timing Details"):
        text.append(f"{RULE}\n| {title}\n| {'-' * len(title)}\n{RULE}\n\n")
    for name, (_, slack) in clocks.items():
        if slack is not None:
            verdict = "MET" if slack >= 0 else "VIOLATED"
            paths = PATH.format(verdict=verdict, slack=slack, clock=name)
            paths += PATH.format(verdict=verdict, slack=slack + 0.1, clock=name).replace("0.087", "0.011")
            text.append(
                f"From Clock:  {name}\n  To Clock:  {name}\n\nMax Delay Paths\n{'-' * 86}\n{paths}\n\n"
                f"Min Delay Paths\n{'-' * 86}\nSlack (MET) :             0.059ns  (arrival time - required time)\n\n"
            )
    # Vivado leaves blanks at the ends of lines.
    return "".join(text).replace("\n", "  \n")


CSYNTH_XML = """\
<?xml version="1.0" encoding="UTF-8"?>
<profile>
  <ReportVersion><Version>{version}</Version></ReportVersion>
  <UserAssignments>
    <unit>ns</unit>
    <ProductFamily>kintexuplus</ProductFamily>
    <Part>xcku5p-ffvb676-2-e</Part>
    <TopModelName>net</TopModelName>
    <TargetClockPeriod>4.00</TargetClockPeriod>
    <ClockUncertainty>1.08</ClockUncertainty>
    <FlowTarget>vivado</FlowTarget>
  </UserAssignments>
  <PerformanceEstimates>
    <PipelineType>yes</PipelineType>
    <SummaryOfTimingAnalysis><unit>ns</unit><EstimatedClockPeriod>2.500</EstimatedClockPeriod></SummaryOfTimingAnalysis>
    <SummaryOfOverallLatency>
      <unit>clock cycles</unit>
      <Best-caseLatency>7</Best-caseLatency>
      <Average-caseLatency>8</Average-caseLatency>
      <Worst-caseLatency>{latency}</Worst-caseLatency>
      <Interval-min>1</Interval-min>
      <Interval-max>2</Interval-max>
    </SummaryOfOverallLatency>
  </PerformanceEstimates>
  <AreaEstimates>
    <Resources><BRAM_18K>2</BRAM_18K><{dsp}>4</{dsp}><FF>512</FF><LUT>1024</LUT><URAM>0</URAM></Resources>
    <AvailableResources><BRAM_18K>960</BRAM_18K><{dsp}>1824</{dsp}><FF>433920</FF><LUT>216960</LUT></AvailableResources>
  </AreaEstimates>
</profile>
"""


def csynth_xml(version: str = "2023.2", latency: str = "9", dsp: str = "DSP") -> str:
    return CSYNTH_XML.format(version=version, latency=latency, dsp=dsp)


def csynth_report(tool: str = "Vitis", version: str = "2023.2", *, absolute: bool = True, dsp: str = "DSP") -> str:
    title = "=" * 64
    if absolute:
        latency = (
            "    |  Latency (cycles) |  Latency (absolute) |  Interval | Pipeline|\n"
            "    |   min   |   max   |    min   |    max   | min | max |   Type  |\n",
            "    |        7|        9|  28.0 ns |  36.0 ns |    1|    2|      yes|\n",
            "    +---------+---------+----------+----------+-----+-----+---------+\n",
        )
    else:
        latency = (
            "    |  Latency  |  Interval | Pipeline|\n    | min | max | min | max |   Type  |\n",
            "    |    7|    9|    1|    2|      yes|\n",
            "    +-----+-----+-----+-----+---------+\n",
        )
    return f"""\


{title}
== {tool} HLS Report for 'net'
{title}
* Date:           Sun Aug 22 15:58:31 2021

* Version:        {version} (Build 1 on Tue Feb  9 05:13:49 MST 2021)
* Project:        net
* Solution:       solution1 (Vivado IP Flow Target)
* Product family: kintexuplus
* Target device:  xcku5p-ffvb676-2-e


{title}
== Performance Estimates
{title}
+ Timing:
    * Summary:
    +--------+---------+----------+------------+
    |  Clock |  Target | Estimated| Uncertainty|
    +--------+---------+----------+------------+
    |ap_clk  |  4.00 ns|  2.500 ns|     1.08 ns|
    +--------+---------+----------+------------+

+ Latency:
    * Summary:
{latency[2]}{latency[0]}{latency[2]}{latency[1]}{latency[2]}
    + Detail:
        * Instance:
        N/A


{title}
== Utilization Estimates
{title}
* Summary:
+-----------------+---------+------+--------+--------+-----+
|       Name      | BRAM_18K| {dsp}  |   FF   |   LUT  | URAM|
+-----------------+---------+------+--------+--------+-----+
|Expression       |        -|     -|       0|    1000|    -|
|Register         |        -|     -|     512|       -|    -|
+-----------------+---------+------+--------+--------+-----+
|Total            |        2|     4|     512|    1024|    0|
+-----------------+---------+------+--------+--------+-----+
|Available        |      960|  1824|  433920|  216960|   64|
+-----------------+---------+------+--------+--------+-----+
"""


COSIM = """\


Report time       : Thu Aug 23 10:40:51 CST 2018.
Solution          : solution1.
Simulation tool   : xsim.

+----------+----------+-----------------------------------------------+-----------------------------------------------+
|          |          |             Latency(Clock Cycles)             |             Interval(Clock Cycles)            |
+   RTL    +  Status  +-----------------------------------------------+-----------------------------------------------+
|          |          |      min      |      avg      |      max      |      min      |      avg      |      max      |
+----------+----------+-----------------------------------------------+-----------------------------------------------+
|      VHDL|        NA|             NA|             NA|             NA|             NA|             NA|             NA|
|   Verilog|      Pass|              9|              9|             10|              1|              1|              1|
+----------+----------+-----------------------------------------------+-----------------------------------------------+
"""


def fit_summary(
    status: str = "Successful - Thu Apr  3 12:11:15 2025", *, elements: bool = False, ff: str = "83568"
) -> str:
    logic = (
        "Total logic elements : 9,333 / 22,320 ( 42 % )\n"
        "    Total combinational functions : 9,331 / 22,320 ( 42 % )\n"
        "    Dedicated logic registers : 1,581 / 22,320 ( 7 % )\n"
        f"Total registers : {ff}\nTotal pins : 5 / 154 ( 3 % )\nTotal virtual pins : 41\n"
        "Total memory bits : 0 / 608,256 ( 0 % )\nEmbedded Multiplier 9-bit elements : 46 / 132 ( 35 % )\n"
        if elements
        else "Logic utilization (in ALMs) : 54,959 / 251,680 ( 22 % )\n"
        f"Total registers : {ff}\nTotal pins : 145 / 812 ( 18 % )\nTotal virtual pins : 41\n"
        "Total block memory bits : 7,814,912 / 43,642,880 ( 18 % )\n"
        "Total RAM Blocks : 496 / 2,131 ( 23 % )\nTotal DSP Blocks : 10 / 1,687 ( < 1 % )\n"
    )
    return (
        f"Fitter Status : {status}\n"
        "Quartus Prime Version : 23.1std.1 Build 993 05/14/2024 SC Standard Edition\n"
        f"Revision Name : net\nTop-level Entity Name : net\nFamily : {'Cyclone IV E' if elements else 'Arria 10'}\n"
        f"Device : {'EP4CE22F17C6' if elements else '10AX027H4F34E3SG'}\nTiming Models : Final\n{logic}"
    )


def quartus_head(kind: str, version: str = "23.1std.1") -> str:
    return (
        f"{kind} report for net\nThu Apr  3 12:11:15 2025\n"
        f"Quartus Prime Version {version} Build 993 05/14/2024 SC Standard Edition\n\n\n"
        "---------------------\n; Table of Contents ;\n---------------------\n"
        f"  1. Legal Notice\n  2. {kind} Summary\n 30. {kind} Messages\n\n\n\n"
        "----------------\n; Legal Notice ;\n----------------\nAll rights reserved.\n\n\n"
    )


def quartus_tail(kind: str) -> str:
    """Quartus Prime Pro leaves this section empty."""
    title = f"; {kind} Messages ;\n"
    rule = "+" + "-" * (len(title) - 3) + "+\n"
    return f"\n\n{rule}{title}{rule}\n\n"


def quartus_usage(kind: str = "Fitter") -> str:
    fitter = kind == "Fitter"
    rows: list[list[object]] = (
        [
            ["Logic utilization (ALMs needed / total ALMs on device)", "54,959 / 251,680", "22 %"],
            ["ALMs needed [=A-B+C]", "54,959", ""],
            ["", "", ""],
            ["Combinational ALUT usage for logic", "61,002", ""],
            ["    -- 7 input functions", "12", ""],
            ["Dedicated logic registers", "83,568", ""],
            ["M20K blocks", "496 / 2,131", "23 %"],
            ["Total DSP Blocks", "10 / 1,687", "< 1 %"],
        ]
        if fitter
        else [
            ["Estimate of Logic utilization (ALMs needed)", "55100"],
            ["Combinational ALUT usage for logic", "60,900"],
            ["Dedicated logic registers", "83000"],
            ["Total DSP Blocks", "10"],
        ]
    )
    title = f"{kind} Resource Usage Summary"
    table = drawn(["Resource", "Usage", "%"][: 3 if fitter else 2], rows, ";", title)
    return quartus_head(kind) + table + quartus_tail(kind)


def quartus_cyclone4_usage() -> str:
    rows: list[list[object]] = [
        ["Total logic elements", "1,632 / 22,320 ( 7 % )"],
        ["    -- Combinational with no register", "983"],
        ["    -- Register only", "48"],
        ["    -- Combinational with a register", "601"],
        ["", ""],
        ["Total registers*", "650 / 23,018 ( 3 % )"],
        ["    -- Dedicated logic registers", "649 / 22,320 ( 3 % )"],
        ["    -- I/O registers", "1 / 698 ( < 1 % )"],
        ["M9Ks", "2 / 66 ( 3 % )"],
        ["Embedded Multiplier 9-bit elements", "0 / 132 ( 0 % )"],
    ]
    usage = drawn(["Resource", "Usage"], rows, ";", "Fitter Resource Usage Summary")
    return quartus_head("Fitter", "18.1.0") + usage + quartus_tail("Fitter")


def sta_report(
    clocks: Mapping[str, float],
    fmax: Mapping[str, Mapping[str, str]],
    slack: Mapping[str, Mapping[str, float]],
    kind: str = "Timing Analyzer",
    *,
    paths: bool = False,
) -> str:
    """`clocks`: periods; `fmax` and `slack` by model, then by clock."""
    text = [quartus_head(kind), drawn(["Name", "Value"], [["x", "y"]], ";", f"{kind} Summary"), "\n\n"]
    rows: list[list[object]] = [
        [name, "Base", f"{period:.3f}", f"{1000 / period:.1f} MHz"] for name, period in clocks.items()
    ]
    text += [drawn(["Clock Name", "Type", "Period", "Frequency"], rows, ";", "Clocks"), "\n\n"]
    for model, values in fmax.items():
        rows = [[value, value, name, ""] for name, value in values.items()]
        text.append(drawn(["Fmax", "Restricted Fmax", "Clock Name", "Note"], rows, ";", f"{model} Model Fmax Summary"))
        text.append("This panel reports FMAX for every clock in the design.\n\n\n")
    for model, slacks in slack.items():
        for name, value in slacks.items() if paths else ():
            found: list[list[object]] = [[f"{value:.3f}", f"from_{model[0]}", f"to_{model[0]}", name]]
            found += [[f"{value + 0.1:.3f}", "other", "other", name]]
            header = ["Slack", "From Node", "To Node", "Launch Clock"]
            text.append(drawn(header, found, ";", f"{model} Model Setup: '{name}'") + "\n\n")
        rows = [[name, f"{value:.3f}", "0.000"] for name, value in slacks.items()]
        text.append(drawn(["Clock", "Slack", "End Point TNS"], rows, ";", f"{model} Model Setup Summary") + "\n\n")
        hold = [["clk", "-9.0", "0"]]
        text.append(drawn(["Clock", "Slack", "End Point TNS"], hold, ";", f"{model} Model Hold Summary"))
    return "".join([*text, quartus_tail(kind)])


LIBERO_ROWS = [
    ["4LUT", 18912, 192408, 9.83],
    ["DFF", 11233, 192408, 5.84],
    ["I/O Register", 0, 1536, "0.00"],
    ["User I/O", 7, 512, 1.37],
    ["uSRAM", 60, 1764, "3.40"],
    ["LSRAM", 16, 616, "2.60"],
    ["Math", 12, 588, 2.04],
]


def libero_resources(rows: Sequence[Sequence[object]] = LIBERO_ROWS) -> str:
    detail = [["Fabric Logic", 18000, 11000], ["Math Interface Logic", 432, 432], ["Total Used", 18912, 11233]]
    return (
        "Resource Usage\n"
        + drawn(["Type", "Used", "Total", "Percentage"], rows)
        + "\nDetailed Logic Resource Usage\n"
        + drawn(["Type", "4LUT", "DFF"], detail)
    )


def xml_table(header: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    def cells(row: Sequence[object]) -> str:
        return "".join(f"<cell>{cell}</cell>" for cell in row)

    return (
        f"<table>\n<header>{cells(header)}</header>\n"
        + "".join(f"<row>{cells(row)}</row>\n" for row in rows)
        + "</table>\n"
    )


def libero_resources_xml() -> str:
    return (
        "<doc>\n<title>Resource Report</title>\n"
        + xml_table(["Type", "Used", "Total", "Percentage"], LIBERO_ROWS)
        + "</doc>\n"
    )


def smarttime_xml(rows: Sequence[Sequence[object]]) -> str:
    header = [
        "Clock Domain",
        "Required Period (ns)",
        "Required Frequency (MHz)",
        "Worst Slack (ns)",
        "Operating Conditions",
    ]
    return (
        "<doc>\n<title>Timing Report Max Delay Analysis</title>\n<text>SmartTime Version 2023.2.0.8</text>\n"
        + "<text>Microsemi Corporation - Microsemi Libero Software Release v2023.2 (Version 2023.2.0.8)</text>\n"
        + xml_table(["Design", "net_pins"], [])
        + "<section>\n<name>Summary</name>\n"
        + xml_table(header, rows)
        + "</section>\n<section><name>Details</name></section>\n</doc>\n"
    )


SMARTTIME_TEXT = """\
Timing Report Max Delay Analysis

SmartTime Version v12.6
Microsemi Corporation - Microsemi Libero Software Release v12.6 (Version 12.900.20.24)
Date: Wed Mar 24 10:00:00 2021

Design: net_pins
Family: PolarFire

-----------------------------------------------------
SUMMARY

Clock Domain:               clk
Period (ns):                5.250
Frequency (MHz):            190.476
Required Period (ns):       5.000
Required Frequency (MHz):   200.000
External Setup (ns):        1.1
Max Clock-To-Out (ns):      7.7

                            Input to Output
Max Delay (ns):             N/A

END SUMMARY
-----------------------------------------------------
"""
