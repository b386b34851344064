# LocLoc on CUB-200-2011, ablation (Table 5, a): a linear layer on the class token, without the masks' augmentation.
_base_ = ['./locloc_deit-s_cub_no-aug.py']
model = dict(head=dict(classifier=dict(conv_head=False)))
