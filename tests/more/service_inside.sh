#!/usr/bin/env bash
# Inside a mount namespace: a folder for mounts, a Python, its packages, our sources, three ports.
set -euo pipefail
folder=$1 python=$2 packages=$3 sources=$4
shift 4

mount -t tmpfs -o mode=755 tmpfs "$folder"
for place in etc opt var/lib; do
  mkdir -p "$folder/$place/up" "$folder/$place/work"
  mount -t overlay overlay -o "lowerdir=/$place,upperdir=$folder/$place/up,workdir=$folder/$place/work" "/$place"
done

"$python" -m venv --without-pip /opt/portal-proxy
inner=$(/opt/portal-proxy/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
cp -r "$packages/." "$inner/"
rm -rf "$inner"/__editable__* "$inner/proxy"
cp -r "$sources" "$inner/proxy"
printf '#!/opt/portal-proxy/bin/python\nfrom proxy.__main__ import main\nmain()\n' >/opt/portal-proxy/bin/portal-proxy
chmod +x /opt/portal-proxy/bin/portal-proxy
export PATH=/opt/portal-proxy/bin:$PATH
cd /

portal-proxy service install
portal-proxy init --name Ada --domain a.example
sed -i "s/0.0.0.0:8080/127.0.0.1:$1/; s/127.0.0.1:8081/127.0.0.1:$2/; s/127.0.0.1:8082/127.0.0.1:$3/" /etc/portal-proxy/portal.yaml

as_portal=(setpriv --reuid portal --regid portal --init-groups)
"$python" - "${as_portal[@]}" --no-new-privs portal-proxy serve <<'PYTHON'
import os, signal, socket, subprocess, sys

manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
name = f"\0portal-service-{os.getpid()}"
manager.bind(name)
manager.settimeout(60)
environment = {**os.environ, "NOTIFY_SOCKET": f"@{name[1:]}"}
service = subprocess.Popen(sys.argv[1:], env=environment)
print(manager.recv(4096).decode().partition("\n")[0], flush=True)
who = {"root": [], "portal": sys.argv[1:7]}
for user, before in who.items():
    for command in (["check"], ["status"], ["health"], ["id"], ["peers", "list"]):
        for _ in range(20):  # health and status wait for so long and no longer, on a busy machine
            words = [*before, "portal-proxy", *command]
            done = subprocess.run(words, capture_output=True, text=True)
            if done.returncode == 0:
                break
        how = "well" if done.returncode == 0 else f"{command}: {done.stdout}{done.stderr}"
        print(f"as {user}: {how}", flush=True)
owner = os.stat("/var/lib/portal-proxy").st_uid
others = [
    name for folder, _, names in os.walk("/var/lib/portal-proxy") for name in names
    if os.stat(os.path.join(folder, name)).st_uid != owner
]
print(f"files of others: {len(others)}", flush=True)
service.send_signal(signal.SIGTERM)
print(manager.recv(4096).decode().partition("\n")[0], flush=True)
sys.exit(service.wait())
PYTHON
