"""Every command line of the operations runbook that Quantum was made for: what is typed, and what must come of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

SHIM = re.compile(r"^(?:python3 |\./)((?:[\w]+/)?\w+\.(?:py|sh))\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line as printed. `filled` is the same with its placeholders filled, and what is really typed."""

    typed: str
    filled: str = ""
    codes: tuple[int, ...] = (0,)
    """The exit codes that it may have; for a name whose capability is still to come it is 69 alone."""
    says: str = ""
    """What must be among its words."""
    stays: bool = False
    """It does not end by itself: once it has said `says` it is interrupted, and must end then."""
    not_run: str = ""
    """Why it is not typed here."""
    before: str = ""
    """What is planted before it: a function of typing_lines."""
    after: str = ""
    """What must hold after it: another one."""

    often: bool = False
    """Typed at every run of the tests; the others in the long ring."""

    @property
    def line(self) -> str:
        """What is typed."""
        return self.filled or self.typed

    @property
    def name(self) -> str:
        """The command name of the runbook's own that it types; empty for a line that is of the system alone."""
        found = SHIM.match(self.typed)
        return found[1] if found else ""


def no(typed: str, why: str) -> Line:
    """A line that is listed and not typed."""
    return Line(typed=typed, not_run=why)


PROSE = "an item of a list, no command"
INSTALLS = "it would install packages from the network"
MAC = "a program of macOS alone"
TOKEN_MISSING = "This needs a token in the header X-Auth-Token"
UP_ALREADY = "runs in"

LINES: tuple[Line, ...] = (
    # Prerequisites, installation
    no("- Python 3.8+", PROSE),
    no("- Swift 5.5+", PROSE),
    no("- Ollama (for AI operations)", PROSE),
    no("- Git with hooks enabled", PROSE),
    no("pip install flask pytest requests pyyaml", INSTALLS),
    no("- launchd (macOS service manager)", PROSE),
    no("git clone <repository>", "it names no repository, and would take it from the network"),
    no("cd tools-automation", "the folder that the line before would have made"),
    no("pip install -r requirements.txt", INSTALLS),
    Line(typed="python3 mcp_server.py &", after="healthy", often=True),
    no("launchctl load com.quantum.mcp.plist", MAC),
    Line(typed="python3 -m pytest tests/ -v", says="2 passed"),
    # Basic operation
    Line(
        typed='curl -H "X-Auth-Token: your-token" http://localhost:5005/health',
        says="'your-token' is the runbook's placeholder",
        often=True,
    ),
    Line(typed="./analyze_coverage.sh", often=True),
    Line(typed="./dashboard_unified.sh"),
    Line(typed="python3 agents/run_agent.py --task build --project HabitQuest", says="it is built", often=True),
    # Health
    Line(typed="curl http://localhost:5005/health", says='{"status":"ok"}', often=True),
    Line(typed="curl http://localhost:5005/agents/status", says=TOKEN_MISSING, often=True),
    Line(typed="curl http://localhost:5005/tasks/queue", says=TOKEN_MISSING),
    Line(typed="curl http://localhost:5005/coverage/status", says=TOKEN_MISSING, often=True),
    # Dashboards
    Line(typed="./dashboard_unified.sh"),
    Line(typed="./agent_monitoring.sh"),
    Line(typed="./ci_cd_monitoring.sh"),
    Line(typed="python3 code_health_dashboard.py"),
    # Daily, weekly, monthly
    no("launchctl list | grep quantum", MAC),
    Line(typed="cat agent_status.json", says='"agents"', often=True),
    Line(typed="python3 -m pytest tests/ -k smoke --tb=short", says="1 passed", often=True),
    Line(typed="./analyze_coverage.sh"),
    Line(typed="./cleanup_all_projects.sh"),
    Line(typed="./backup_rotation.sh", says="good"),
    Line(typed="python3 -m pytest tests/ --tb=short -q", says="2 passed"),
    no("pip install --upgrade -r requirements.txt", INSTALLS),
    no("cd Projects/* && swift package update", "it asks the network for packages, by a compiler that is seldom there"),
    Line(typed="./build_performance_optimizer.sh"),
    Line(typed="./cleanup_ai_analysis.sh"),
    Line(typed="./audit_large_files.sh"),
    Line(typed="./check_secret_scanning.sh"),
    Line(typed="./security/audit_security.sh"),
    Line(typed="./comprehensive_test_generator.sh"),
    Line(typed="./validate_system_integrity.sh", codes=(0, 1), often=True),
    # Trouble
    Line(typed="lsof -i :5005", says="LISTEN", before="port_held"),
    Line(typed="pkill -f mcp_server", after="port_free"),
    Line(typed="python3 mcp_server.py --debug", says="Everything is healthy", stays=True, after="up_again"),
    Line(typed="cat agent_status.json", says='"agents"'),
    Line(typed="tail -f logs/agent_*.log", says="flaky", stays=True, before="failed_agent", often=True),
    Line(
        typed="python3 agents/agent_recovery.py --agent <failed_agent>",
        filled="python3 agents/agent_recovery.py --agent flaky",
        says="1 agent was let go",
        after="nothing_held",
        often=True,
    ),
    Line(
        typed="python3 -m pytest tests/test_<failing_test>.py -v",
        filled="python3 -m pytest tests/test_smoke.py -v",
        says="1 passed",
    ),
    Line(typed="python3 -m py_compile <failing_file>.py", filled="python3 -m py_compile tests/test_smoke.py"),
    Line(typed="python3 generate_missing_tests.py"),
    Line(typed="ls -la .git/hooks/post-merge", says="-rwxr-xr-x", often=True),
    Line(typed=".git/hooks/post-merge", says="nothing to check"),
    Line(typed="./install_git_hooks.sh", says="guarded"),
    # Emergencies
    Line(typed=r'pkill -f "agent_.*\.sh"', before="one_runs", after="nothing_lost", often=True),
    Line(typed="echo '{}' > agent_status.json", after="export_restored", often=True),
    Line(typed="echo '[]' > task_queue.json", after="export_restored", often=True),
    Line(typed="python3 mcp_server.py &", says=UP_ALREADY, after="nothing_lost"),
    Line(typed="./backup_rotation.sh --restore latest", before="down", says="is put back", after="up_again"),
    Line(typed="./check_architecture.py"),
    Line(typed="python3 agents/dependency_graph_agent.py"),
    Line(typed="pkill -f quantum", before="one_runs", after="begun_again"),
    no("launchctl unload com.quantum.mcp.plist", MAC),
    Line(typed="./check_secret_scanning.sh --full", often=True),
    Line(typed="./agents/ai_log_analyzer.py --security"),
    Line(typed="./bootstrap_meta_repo.sh", before="down", says="is a clean workspace", after="up_again"),
    # Tuning
    Line(typed="./performance_monitor.sh"),
    Line(typed="./build_performance_optimizer.sh"),
    Line(typed="./cleanup_duplicate_references.py"),
    Line(typed="export MCP_CONNECTION_POOL=5", after="setting_honoured", often=True),
    Line(typed="export HTTP_TIMEOUT=30", after="setting_honoured"),
    Line(typed="export MAX_RETRIES=3", after="setting_honoured"),
    # Access, agents, development
    no("security find-generic-password -l quantum-auth", MAC),
    Line(typed="./security/rotate_tokens.sh", after="token_good"),
    Line(typed="./security/audit_access.sh"),
    Line(typed="python3 agents/list_agents.py", says="steady", often=True),
    Line(
        typed="python3 agents/run_agent.py --agent <name> --params <json>",
        filled="""python3 agents/run_agent.py --agent steady --params '{"greeting": "hi"}'""",
        says="steady is done",
    ),
    Line(
        typed="python3 agents/monitor_agent.py --agent <name> --follow",
        filled="python3 agents/monitor_agent.py --agent steady --follow",
        says="steady is done",
        stays=True,
    ),
    Line(typed="python3 -m pytest tests/ --tb=short", says="2 passed"),
    Line(typed="./analyze_coverage.sh"),
    Line(
        typed="python3 agents/orchestrator_v2.py --task <complex_task>",
        filled="python3 agents/orchestrator_v2.py --task steady",
    ),
)


def lines_of(text: str) -> list[str]:
    """The command lines of a runbook in Markdown: what its blocks of bash hold, without comments."""
    found: list[str] = []
    language: str | None = None
    for line in map(str.strip, text.splitlines()):
        if line.startswith("```"):
            language = line[3:] if language is None else None
        elif language == "bash" and line and not line.startswith("#"):
            found.append(line)
    return found
