# CDTR on CUB, number K of blocks of OCM's pseudo map (Table VIII).
base = 'cdtr_deit-s_cub'
grid = {'model.head.ocm_blocks': {'k-03': 3, 'k-05': 5, 'k-07': 7, '': 9, 'k-11': 11}}
paper = {
    'cdtr_deit-s_cub_k-03': {'loc/top1': 79.03, 'loc/top5': 91.85, 'loc/gt_known': 94.51},
    'cdtr_deit-s_cub_k-05': {'loc/top1': 80.75, 'loc/top5': 93.54, 'loc/gt_known': 96.31},
    'cdtr_deit-s_cub_k-07': {'loc/top1': 81.01, 'loc/top5': 93.90, 'loc/gt_known': 96.77},
    'cdtr_deit-s_cub': {'loc/top1': 81.33, 'loc/top5': 94.06, 'loc/gt_known': 96.89},
    'cdtr_deit-s_cub_k-11': {'loc/top1': 80.79, 'loc/top5': 93.71, 'loc/gt_known': 96.53},
}
figure = dict(x='model.head.ocm_blocks', y='loc/gt_known', x_label='K')
