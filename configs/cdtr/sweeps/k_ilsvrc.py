# CDTR on ILSVRC, number K of blocks of OCM's pseudo map (Table VIII).
base = 'cdtr_deit-s_ilsvrc'
grid = {'model.head.ocm_blocks': {'k-04': 4, 'k-06': 6, 'k-08': 8, '': 10, 'k-12': 12}}
paper = {
    'cdtr_deit-s_ilsvrc_k-04': {'loc/top1': 56.37, 'loc/top5': 66.07, 'loc/gt_known': 68.76},
    'cdtr_deit-s_ilsvrc_k-06': {'loc/top1': 57.04, 'loc/top5': 66.93, 'loc/gt_known': 69.60},
    'cdtr_deit-s_ilsvrc_k-08': {'loc/top1': 57.84, 'loc/top5': 67.73, 'loc/gt_known': 70.45},
    'cdtr_deit-s_ilsvrc': {'loc/top1': 58.20, 'loc/top5': 68.05, 'loc/gt_known': 70.72},
    'cdtr_deit-s_ilsvrc_k-12': {'loc/top1': 57.82, 'loc/top5': 67.84, 'loc/gt_known': 70.57},
}
figure = dict(x='model.head.ocm_blocks', y='loc/gt_known', x_label='K')
