#!/usr/bin/env bash
# Abre uma issue com o relatório de uma verificação semanal ou, se já há uma aberta, comenta nela.
# Uso: avisar.sh ETIQUETA TÍTULO RELATÓRIO (com GH_TOKEN e as variáveis do GitHub Actions no ambiente)
set -euo pipefail
etiqueta=$1
titulo=$2
relatorio=$3

corpo=$(mktemp)
printf 'Execução: %s/%s/actions/runs/%s\n\n' "$GITHUB_SERVER_URL" "$GITHUB_REPOSITORY" "$GITHUB_RUN_ID" > "$corpo"
if [ -s "$relatorio" ]; then
  head -c 60000 "$relatorio" >> "$corpo" # o GitHub aceita até 65.536 caracteres
else
  echo "A verificação parou antes de escrever o relatório: veja o registro da execução." >> "$corpo"
fi

gh label create "$etiqueta" --repo "$GITHUB_REPOSITORY" --description "Verificação semanal" --force
aberta=$(gh issue list --repo "$GITHUB_REPOSITORY" --label "$etiqueta" --state open --limit 1 --json number --jq '.[].number')
if [ -n "$aberta" ]; then
  gh issue comment "$aberta" --repo "$GITHUB_REPOSITORY" --body-file "$corpo"
else
  gh issue create --repo "$GITHUB_REPOSITORY" --title "$titulo" --label "$etiqueta" --body-file "$corpo"
fi
