# LocLoc on CUB-200-2011, ablation (Table 5, b): a linear layer on the class token classifies.
_base_ = ['../locloc_deit-s_cub.py']
model = dict(head=dict(classifier=dict(conv_head=False)))
