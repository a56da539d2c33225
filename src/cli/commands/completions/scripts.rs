//! The scripts that shells load. They pass the words to `__complete` of the program
//! that is being typed, and say nothing if that fails.

/// Bash gets the line itself, because it splits words at characters such as `@`, which names of
/// backups have.
pub const BASH: &str = r#"# bash completion for idev-backup
_idev_backup() {
    local line=$COMP_LINE candidate
    if (( COMP_POINT < ${#COMP_LINE} )); then
        line=${COMP_LINE:0:COMP_POINT}
    fi
    COMPREPLY=()
    while IFS= read -r candidate; do
        COMPREPLY+=("$candidate")
    done < <("${1/#\~/$HOME}" __complete bash -- "$line" "$COMP_WORDBREAKS" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[/=@] ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
complete -o bashdefault -o default -F _idev_backup idev-backup
"#;

pub const ZSH: &str = r#"#compdef idev-backup
_idev_backup() {
    local -a lines closed open closed_text open_text
    local line value text
    lines=("${(@f)$("${(Q)words[1]/#\~/$HOME}" __complete zsh -- \
        "${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    for line in $lines; do
        [[ -n $line ]] || continue
        value=${line%%$'\t'*}
        text=$value
        [[ $line == *$'\t'* ]] && text="$value  -- ${line#*$'\t'}"
        if [[ $value == *[/=@] ]]; then
            open+=("$value")
            open_text+=("$text")
        else
            closed+=("$value")
            closed_text+=("$text")
        fi
    done
    if (( $#open + $#closed == 0 )); then
        _files
        return
    fi
    (( $#closed )) && compadd -l -d closed_text -a closed
    (( $#open )) && compadd -l -S '' -d open_text -a open
    return 0
}
if [[ $funcstack[1] == _idev_backup ]]; then
    _idev_backup "$@"
else
    compdef _idev_backup idev-backup
fi
"#;

pub const FISH: &str = r#"# fish completion for idev-backup
function __idev_backup_complete
    set -l words (commandline -opc)
    $words[1] __complete fish -- $words (commandline -ct) 2>/dev/null
end
complete -c idev-backup -f -k -a '(__idev_backup_complete)'
"#;

pub const POWERSHELL: &str = r#"# PowerShell completion for idev-backup
Register-ArgumentCompleter -Native -CommandName idev-backup -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $before = @($commandAst.CommandElements | Where-Object {
        $_.Extent.EndOffset -lt $cursorPosition
    } | ForEach-Object {
        if ($_ -is [System.Management.Automation.Language.StringConstantExpressionAst]) {
            $_.Value
        } else {
            $_.Extent.Text
        }
    })
    & $before[0] __complete powershell -- $before "=$wordToComplete" 2>$null | ForEach-Object {
        $value, $help = $_ -split "`t", 2
        if (-not $help) { $help = $value }
        [System.Management.Automation.CompletionResult]::new(
            $value, $value, 'ParameterValue', $help)
    }
}
"#;
